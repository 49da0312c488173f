#include "native.h"

/* What an event loop ran, and for whom. */

/* A turn of the loop, `asyncio.Handle._run`: noted where it was long enough to be in the way. */

static PyObject *callback_name, *context_name, *get_name, *opened_name, *busy_name, *name_name;
static PyObject *self_name, *get_coro_name, *cr_code_name, *code_name;
static PyObject *qualname_name, *callbacks_name, *context_word;
static PyObject *self_pipe;

/* How asyncio's loop notices that another thread has woken it: its own turn. */
static bool
is_self_pipe(PyObject *callback)
{
    PyObject *name = PyObject_GetAttr(callback, name_name);
    bool found = name != NULL && PyUnicode_Check(name) && PyUnicode_Compare(name, self_pipe) == 0;
    Py_XDECREF(name);
    PyErr_Clear();
    return found;
}

/* A new reference to the coroutine of the task that a callback steps; NULL where it is no task's. */
static PyObject *
coroutine_of(PyObject *callback)
{
    PyObject *task = optional_attr(callback, self_name);
    PyObject *get = task == NULL ? NULL : optional_attr(task, get_coro_name);
    PyObject *coroutine = get == NULL ? NULL : PyObject_CallNoArgs(get);
    PyErr_Clear();
    Py_XDECREF(get);
    Py_XDECREF(task);
    return coroutine;
}

/* Borrowed: what `recorder.callbacks` has for a callback; NULL, without an error, for none. */
static PyObject *
known_callback(PyObject *recorder, PyObject *callback)
{
    PyObject *coroutine = coroutine_of(callback), *ran = coroutine == NULL ? callback : coroutine;
    PyObject *code = optional_attr(ran, coroutine == NULL ? code_name : cr_code_name);
    PyObject *name = code == NULL ? NULL : optional_attr(ran, qualname_name);
    PyObject *known = name == NULL ? NULL : optional_attr(recorder, callbacks_name);
    PyObject *number = known == NULL ? NULL : PyLong_FromVoidPtr(code);
    PyObject *key = number == NULL ? NULL : PyTuple_Pack(2, number, name);
    PyObject *found = key == NULL ? NULL : PyDict_GetItemWithError(known, key);
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(number);
    Py_XDECREF(known);
    Py_XDECREF(name);
    Py_XDECREF(code);
    Py_XDECREF(coroutine);
    return found;
}

/* What the loop ran for nobody who is recorded: the same few coroutines over and over. */
static bool
log_stranger(PyObject *recorder, PyObject *callback, int64_t start, int64_t end)
{
    PyObject *name = known_callback(recorder, callback);
    PyObject *log = name == NULL ? NULL : PyObject_GetAttr(recorder, busy_name);
    bool written = false;
    if (log != NULL && Py_IS_TYPE(log, &Log_Type)) {
        int64_t entry[BUSY_INTS] = {start, end, this_thread(), 0, PyLong_AsLongLong(name)};
        Column *column = &((Log *)log)->column;
        written = column->used < BUSY_BATCH * BUSY_INTS && column_push(column, entry, BUSY_INTS);
    }
    Py_XDECREF(log);
    PyErr_Clear();
    return written;
}

/* False where Python has to look closer; `timeline` is None where it is nobody's. */
static bool
is_logged(StandIn *by, PyObject *timeline, PyObject *callback, int64_t start, int64_t end)
{
    if (end - start > by->limit) {
        return false;
    }
    PyObject *opened = PyObject_GetAttr(by->recorder, opened_name);
    Py_XDECREF(opened);
    if (opened != Py_None) {
        return false;
    }
    if (is_marks(timeline)) {
        return log_busy(by->recorder, (Marks *)timeline, start, end);
    }
    return timeline == Py_None &&
           (is_self_pipe(callback) || log_stranger(by->recorder, callback, start, end));
}

/* A new reference to what the context of a handle has for the variable, or NULL. */
static PyObject *
timeline_of(PyObject *handle, PyObject *variable)
{
    PyObject *context = PyObject_GetAttr(handle, context_name);
    PyObject *timeline =
        context == NULL ? NULL : PyObject_CallMethodOneArg(context, get_name, variable);
    Py_XDECREF(context);
    return timeline;
}

static void
note(StandIn *by, PyObject *timeline, PyObject *callback, int64_t start, int64_t end)
{
    if (!is_logged(by, timeline, callback, start, end)) {
        PyErr_Clear();
        PyObject *noted =
            PyObject_CallFunction(by->other, "LLOO", (long long)start, (long long)end,
                                  timeline == NULL ? Py_None : timeline, callback);
        Py_XDECREF(noted);
    }
    PyErr_Clear();
}

static PyObject *
turn_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *turn = (StandIn *)self;
    PyObject *handle = PyVectorcall_NARGS(nargsf) ? args[0] : NULL;
    PyObject *callback = handle == NULL ? NULL : PyObject_GetAttr(handle, callback_name);
    if (callback == NULL) {
        PyErr_Clear();
        return PyObject_Vectorcall(turn->wrapped, args, nargsf, names);
    }
    Py_INCREF(handle);
    int64_t start = now_ns();
    PyObject *result = PyObject_Vectorcall(turn->wrapped, args, nargsf, names);
    int64_t end = now_ns();
    if (end - start > turn->number && result != NULL) {
        PyObject *timeline = timeline_of(handle, turn->variable);
        note(turn, timeline, callback, start, end);
        Py_XDECREF(timeline);
    }
    Py_DECREF(callback);
    Py_DECREF(handle);
    return result;
}

/* A loop whose handles can't be stood in for runs its callbacks through this one. */
static PyObject *
timed_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *timed = (StandIn *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (count == 0) {
        PyErr_SetString(PyExc_TypeError, "no callback");
        return NULL;
    }
    PyObject *callback = Py_NewRef(args[0]);
    int64_t start = now_ns();
    PyObject *result = PyObject_Vectorcall(callback, args + 1, (size_t)count - 1, names);
    int64_t end = now_ns();
    PyObject *timeline = NULL;
    if (end - start > timed->number && result != NULL &&
        PyContextVar_Get(timed->variable, Py_None, &timeline) == 0) {
        note(timed, timeline, callback, start, end);
        Py_XDECREF(timeline);
    }
    Py_DECREF(callback);
    return result;
}

/* Borrowed: the context that a callback is to run in, where it was given as a keyword. */
static PyObject *
given_context(PyObject *const *args, size_t nargsf, PyObject *names)
{
    Py_ssize_t count = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = args[PyVectorcall_NARGS(nargsf) + i];
        if (PyContext_CheckExact(value) &&
            PyUnicode_Compare(PyTuple_GET_ITEM(names, i), context_word) == 0) {
            return value;
        }
    }
    return NULL;
}

/* A loop's `call_soon` while a task waits: whose callback is ready now is marked. */
PyObject *
soon_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *soon = (StandIn *)self;
    PyObject *context = given_context(args, nargsf, names);
    if (context != NULL && PyVectorcall_NARGS(nargsf)) {
        PyObject *timeline = PyObject_CallMethodOneArg(context, get_name, soon->variable);
        PyObject *task = is_marks(timeline) ? optional_attr(args[0], self_name) : NULL;
        if (task != NULL) {
            marks_now((Marks *)timeline, READY, (int64_t)(uintptr_t)task);
        }
        Py_XDECREF(task);
        Py_XDECREF(timeline);
        PyErr_Clear();
    }
    return PyObject_Vectorcall(soon->wrapped, args, nargsf, names);
}

/* `call_soon` and its like: the callback, at place `number`, is given to `other` to run. */
static PyObject *
scheduled_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *scheduled = (StandIn *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf), place = (Py_ssize_t)scheduled->number;
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *given[16];
    if (count <= place || all >= 16) {
        return PyObject_Vectorcall(scheduled->wrapped, args, nargsf, names);
    }
    memcpy(given, args, (size_t)place * sizeof(PyObject *));
    given[place] = scheduled->other;
    memcpy(given + place + 1, args + place, (size_t)(all - place) * sizeof(PyObject *));
    return PyObject_Vectorcall(scheduled->wrapped, given, (size_t)count + 1, names);
}

PyObject *
native_scheduled(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *timed;
    long long place;
    if (!PyArg_ParseTuple(args, "OOL", &wrapped, &timed, &place)) {
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(scheduled_call, wrapped);
    if (made != NULL) {
        made->other = Py_NewRef(timed);
        made->number = place;
    }
    return (PyObject *)made;
}

/* Both kinds know the variable, the recorder, whom to ask, from when on, and how long at most. */
static PyObject *
timing(vectorcallfunc call, PyObject *args)
{
    PyObject *wrapped, *variable, *recorder, *slow;
    long long floor, limit;
    if (!PyArg_ParseTuple(args, "OOOOLL", &wrapped, &variable, &recorder, &slow, &floor, &limit)) {
        return NULL;
    }
    StandIn *turn = (StandIn *)stand_in_new(call, wrapped);
    if (turn != NULL) {
        turn->variable = Py_NewRef(variable);
        turn->recorder = Py_NewRef(recorder);
        turn->other = Py_NewRef(slow);
        turn->number = floor;
        turn->limit = limit;
    }
    return (PyObject *)turn;
}

PyObject *
native_turn(PyObject *Py_UNUSED(module), PyObject *args)
{
    return timing(turn_call, args);
}

PyObject *
native_timed(PyObject *Py_UNUSED(module), PyObject *args)
{
    return timing(timed_call, args);
}

/* What a request's own time on a thread is called: its view, or what comes after its answer. */
bool
log_busy(PyObject *recorder, Marks *marks, int64_t start, int64_t end)
{
    if (marks->last_ns && (marks->last_ns > start || !marks->after)) {
        return false;
    }
    PyObject *log = PyObject_GetAttr(recorder, busy_name);
    bool written = false;
    if (log != NULL && Py_IS_TYPE(log, &Log_Type)) {
        int64_t entry[BUSY_INTS] = {start, end, this_thread(), marks->sequence,
                                    marks->last_ns ? marks->after : marks->view};
        written = column_push(&((Log *)log)->column, entry, BUSY_INTS);
    }
    Py_XDECREF(log);
    PyErr_Clear();
    return written;
}

bool
turns_prepare(void)
{
    callback_name = PyUnicode_InternFromString("_callback");
    context_name = PyUnicode_InternFromString("_context");
    get_name = PyUnicode_InternFromString("get");
    opened_name = PyUnicode_InternFromString("opened");
    busy_name = PyUnicode_InternFromString("busy");
    name_name = PyUnicode_InternFromString("__name__");
    self_pipe = PyUnicode_InternFromString("_read_from_self");
    self_name = PyUnicode_InternFromString("__self__");
    get_coro_name = PyUnicode_InternFromString("get_coro");
    cr_code_name = PyUnicode_InternFromString("cr_code");
    code_name = PyUnicode_InternFromString("__code__");
    qualname_name = PyUnicode_InternFromString("__qualname__");
    callbacks_name = PyUnicode_InternFromString("callbacks");
    context_word = PyUnicode_InternFromString("context");
    return context_word && self_name && get_coro_name && cr_code_name && code_name && qualname_name &&
           callbacks_name && callback_name && context_name && get_name && opened_name && busy_name && name_name &&
           self_pipe;
}
