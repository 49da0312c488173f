#include "native.h"

/* What an event loop runs, and for whom. */

/* A turn of the loop, `asyncio.Handle._run`: noted where it was long enough to be in the way. */

static PyObject *callback_name, *context_name, *get_name, *self_name, *context_word;

static bool
is_known(Wrapper *turn, PyObject *handle)
{
    return turn->handles != NULL && PyObject_TypeCheck(handle, turn->handles);
}

/* A new reference to what the context of a handle has for the variable, or NULL. */
static PyObject *
timeline_of(Wrapper *turn, PyObject *handle, PyObject *variable)
{
    PyObject *context = is_known(turn, handle) ? Py_XNewRef(*slot_of(handle, turn->context_at))
                                               : PyObject_GetAttr(handle, context_name);
    PyObject *timeline =
        context == NULL ? NULL : PyObject_CallMethodOneArg(context, get_name, variable);
    Py_XDECREF(context);
    return timeline;
}

static PyObject *
run_handle_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *turn = (Wrapper *)self;
    PyObject *handle = PyVectorcall_NARGS(nargsf) ? args[0] : NULL;
    bool known = handle != NULL && is_known(turn, handle);
    PyObject *callback = handle == NULL ? NULL
                         : known        ? Py_XNewRef(*slot_of(handle, turn->callback_at))
                                        : PyObject_GetAttr(handle, callback_name);
    if (callback == NULL) {
        PyErr_Clear();
        return PyObject_Vectorcall(turn->wrapped, args, nargsf, names);
    }
    Py_INCREF(handle);
    int64_t start = now_ns();
    PyObject *timeline = NULL;
    PyObject *result = known ? run_handle(turn, handle, callback, start, &timeline)
                             : PyObject_Vectorcall(turn->wrapped, args, nargsf, names);
    int64_t end = now_ns();
    if (end - start > turn->number && result != NULL) {
        if (timeline == NULL) {
            timeline = timeline_of(turn, handle, turn->variable);
        }
        note_turn(turn, timeline, callback, start, end);
    }
    Py_XDECREF(timeline);
    Py_DECREF(callback);
    Py_DECREF(handle);
    return result;
}

/* A loop whose handles can't be wrapped runs its callbacks through this one. */
static PyObject *
timed_callback_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *timed = (Wrapper *)self;
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
        note_turn(timed, timeline, callback, start, end);
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

/* While a task waits: that what it waited for is there, where a callback is a task's. */
static void
mark_ready(PyObject *variable, PyObject *callback, PyObject *context)
{
    if (context != NULL) {
        PyObject *timeline = PyObject_CallMethodOneArg(context, get_name, variable);
        PyObject *task = is_marks(timeline) ? optional_attr(callback, self_name) : NULL;
        if (task != NULL) {
            marks_now((Marks *)timeline, READY, (int64_t)(uintptr_t)task);
        }
        Py_XDECREF(task);
        Py_XDECREF(timeline);
        PyErr_Clear();
    }
}

/* A loop's `call_soon`, bound. */
PyObject *
call_soon_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *soon = (Wrapper *)self;
    if (PyVectorcall_NARGS(nargsf)) {
        mark_ready(soon->variable, args[0], given_context(args, nargsf, names));
    }
    return PyObject_Vectorcall(soon->wrapped, args, nargsf, names);
}

/* What asyncio passes results on with, from one future to the next: as many as three of four
   callbacks of a hand-off, and never in anybody's way. BatchResult by the module that it is of. */
static bool
is_plumbing(PyObject *callback, PyObject *other)
{
    if (!PyFunction_Check(callback)) {
        return false;
    }
    PyObject *globals = PyFunction_GET_GLOBALS(callback);
    for (Py_ssize_t i = 1; i < PyTuple_GET_SIZE(other); i++) {
        if (PyTuple_GET_ITEM(other, i) == globals) {
            return true;
        }
    }
    return false;
}

/* `call_soon` and its like: the callback, at place `number`, is given to the first of `other` to run;
   the rest of it are the globals of those that needn't be. */
static PyObject *
schedule_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *scheduled = (Wrapper *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf), place = (Py_ssize_t)scheduled->number;
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *given[16];
    if (count <= place || all >= 16 || is_plumbing(args[place], scheduled->other)) {
        return PyObject_Vectorcall(scheduled->wrapped, args, nargsf, names);
    }
    if (scheduled->recorder != NULL && someone_waits(scheduled->recorder)) {
        mark_ready(scheduled->variable, args[place], given_context(args, nargsf, names));
    }
    memcpy(given, args, (size_t)place * sizeof(PyObject *));
    given[place] = PyTuple_GET_ITEM(scheduled->other, 0);
    memcpy(given + place + 1, args + place, (size_t)(all - place) * sizeof(PyObject *));
    return PyObject_Vectorcall(scheduled->wrapped, given, (size_t)count + 1, names);
}

/* schedule(wrapped, (timed, globals...), place, variable, waiting or None) */
PyObject *
native_schedule(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *other, *variable, *waiting;
    long long place;
    if (!PyArg_ParseTuple(args, "OO!LOO", &wrapped, &PyTuple_Type, &other, &place, &variable,
                          &waiting)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) == 0) {
        PyErr_SetString(PyExc_TypeError, "nothing to run callbacks with");
        return NULL;
    }
    if (waiting != Py_None && !Py_IS_TYPE(waiting, &Waiting_Type)) {
        PyErr_SetString(PyExc_TypeError, "not a Waiting");
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(schedule_call, wrapped);
    if (made != NULL) {
        made->other = Py_NewRef(other);
        made->number = place;
        made->variable = Py_NewRef(variable);
        made->recorder = waiting == Py_None ? NULL : Py_NewRef(waiting);
    }
    return (PyObject *)made;
}

/* Both kinds know the variable, the recorder and its log, whom to ask, from when on, and how long
   at most; a turn may know what its handles are. */
static PyObject *
timing(vectorcallfunc call, PyObject *args)
{
    PyObject *wrapped, *variable, *recorder, *log, *slow, *handles = NULL;
    long long floor, limit;
    if (!PyArg_ParseTuple(args, "OOOO!OLL|O", &wrapped, &variable, &recorder, &Log_Type, &log, &slow,
                          &floor, &limit, &handles)) {
        return NULL;
    }
    Wrapper *turn = (Wrapper *)wrapper_new(call, wrapped);
    if (turn != NULL) {
        turn->variable = Py_NewRef(variable);
        turn->recorder = Py_NewRef(recorder);
        turn->log = (Log *)Py_NewRef(log);
        turn->other = Py_NewRef(slow);
        turn->number = floor;
        turn->limit = limit;
        if (handles != NULL && handles_known(turn, handles)) {
            turn->handles = (PyTypeObject *)Py_NewRef(handles);
        }
    }
    return (PyObject *)turn;
}

PyObject *
native_run_handle(PyObject *Py_UNUSED(module), PyObject *args)
{
    return timing(run_handle_call, args);
}

PyObject *
native_timed_callback(PyObject *Py_UNUSED(module), PyObject *args)
{
    return timing(timed_callback_call, args);
}

bool
turns_prepare(void)
{
    callback_name = PyUnicode_InternFromString("_callback");
    context_name = PyUnicode_InternFromString("_context");
    get_name = PyUnicode_InternFromString("get");
    self_name = PyUnicode_InternFromString("__self__");
    context_word = PyUnicode_InternFromString("context");
    return callback_name && context_name && get_name && self_name && context_word;
}
