#include "native.h"

/* Who had a thread from when to when: what of the occupancy log is told by a glance. */

static PyObject *self_name, *get_coro_name, *cr_code_name, *code_name, *name_name;
static PyObject *qualname_name, *callbacks_name, *self_pipe;

static bool
put(Log *log, int64_t start, int64_t end, int64_t sequence, int64_t name)
{
    int64_t entry[BUSY_INTS] = {start, end, this_thread(), sequence, name};
    return column_add(&log->column, entry, BUSY_INTS);
}

/* What a request does after its answer is named after its view; 0 where that has no name yet. */
static int64_t
after_of(Log *log, Marks *marks)
{
    if (!marks->after && log->after != NULL && PyDict_CheckExact(log->after)) {
        PyObject *view = PyLong_FromLongLong(marks->view);
        PyObject *name = view == NULL ? NULL : PyDict_GetItemWithError(log->after, view);
        marks->after = name == NULL ? 0 : PyLong_AsLongLong(name);
        Py_XDECREF(view);
        PyErr_Clear();
    }
    return marks->after;
}

bool
log_busy(Log *log, Marks *marks, int64_t start, int64_t end)
{
    int64_t answered = marks->last_ns;
    if (!answered || answered >= end) {
        return put(log, start, end, marks->sequence, marks->view);
    }
    int64_t after = after_of(log, marks);
    if (!after) {
        return false;
    }
    if (answered > start) {
        return put(log, start, answered, marks->sequence, marks->view) &&
               put(log, answered, end, marks->sequence, after);
    }
    return put(log, start, end, marks->sequence, after);
}

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
log_stranger(PyObject *recorder, Log *log, PyObject *callback, int64_t start, int64_t end)
{
    PyObject *name = known_callback(recorder, callback);
    if (name == NULL || log->column.used >= BUSY_BATCH * BUSY_INTS) {
        return false;
    }
    int64_t number = PyLong_AsLongLong(name);
    PyErr_Clear();
    return number > 0 && put(log, start, end, 0, number);
}

/* The turn in which a request began: it was read. */
static bool
log_opened(Log *log, int64_t start, int64_t end)
{
    Marks *opened = (Marks *)log->opened;
    if (!log->reading || !is_marks(log->opened) || opened->last_ns ||
        !put(log, start, end, opened->sequence, log->reading)) {
        return false;
    }
    Py_CLEAR(log->opened);
    return true;
}

/* False where Python has to look closer; `timeline` is None where it is nobody's. */
static bool
is_logged(Wrapper *turn, PyObject *timeline, PyObject *callback, int64_t start, int64_t end)
{
    Log *log = turn->log;
    if (end - start > turn->limit) {
        return false;
    }
    if (log->opened != NULL && log->opened != Py_None) {
        return log_opened(log, start, end);
    }
    if (is_marks(timeline)) {
        return log_busy(log, (Marks *)timeline, start, end);
    }
    return timeline == Py_None &&
           (is_self_pipe(callback) || log_stranger(turn->recorder, log, callback, start, end));
}

void
note_turn(Wrapper *turn, PyObject *timeline, PyObject *callback, int64_t start, int64_t end)
{
    if (!is_logged(turn, timeline, callback, start, end)) {
        PyErr_Clear();
        PyObject *noted =
            PyObject_CallFunction(turn->other, "LLOO", (long long)start, (long long)end,
                                  timeline == NULL ? Py_None : timeline, callback);
        Py_XDECREF(noted);
        PyErr_Clear();
    }
}

bool
busy_prepare(void)
{
    name_name = PyUnicode_InternFromString("__name__");
    self_pipe = PyUnicode_InternFromString("_read_from_self");
    self_name = PyUnicode_InternFromString("__self__");
    get_coro_name = PyUnicode_InternFromString("get_coro");
    cr_code_name = PyUnicode_InternFromString("cr_code");
    code_name = PyUnicode_InternFromString("__code__");
    qualname_name = PyUnicode_InternFromString("__qualname__");
    callbacks_name = PyUnicode_InternFromString("callbacks");
    return name_name && self_pipe && self_name && get_coro_name && cr_code_name && code_name &&
           qualname_name && callbacks_name;
}
