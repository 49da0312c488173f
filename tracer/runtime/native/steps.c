#include "native.h"

/* How many traced tasks of a loop wait for something of which only `call_soon` tells. */

typedef struct {
    PyObject_HEAD
    PyObject *loop; /* whose `call_soon` is one of the next two; NULL where it is only counted */
    PyObject *plain;
    PyObject *listening;
    Py_ssize_t count;
} Waiting;

static PyObject *call_soon;

bool
someone_waits(PyObject *waiting)
{
    return ((Waiting *)waiting)->count > 0;
}

static void
put_call_soon(Waiting *waiting, PyObject *function)
{
    if (waiting->loop == NULL) {
        return;
    }
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    if (PyObject_SetAttr(waiting->loop, call_soon, function) < 0) {
        PyErr_Clear();
    }
    PyErr_Restore(type, value, trace);
}

static void
waiting_begins(Waiting *waiting)
{
    if (waiting->count++ == 0) {
        put_call_soon(waiting, waiting->listening);
    }
}

static void
waiting_ends(Waiting *waiting)
{
    if (--waiting->count == 0) {
        put_call_soon(waiting, waiting->plain);
    }
}

static PyObject *
waiting_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *loop = NULL, *plain = NULL, *listening = NULL;
    if (!PyArg_ParseTuple(args, "|OOO", &loop, &plain, &listening)) {
        return NULL;
    }
    Waiting *waiting = (Waiting *)type->tp_alloc(type, 0);
    if (waiting != NULL) {
        waiting->loop = Py_XNewRef(loop);
        waiting->plain = Py_XNewRef(plain);
        waiting->listening = Py_XNewRef(listening);
    }
    return (PyObject *)waiting;
}

static PyObject *
waiting_begin(PyObject *self, PyObject *Py_UNUSED(unused))
{
    waiting_begins((Waiting *)self);
    Py_RETURN_NONE;
}

static PyObject *
waiting_end(PyObject *self, PyObject *Py_UNUSED(unused))
{
    waiting_ends((Waiting *)self);
    Py_RETURN_NONE;
}

static int
waiting_traverse(PyObject *self, visitproc visit, void *arg)
{
    Waiting *waiting = (Waiting *)self;
    Py_VISIT(waiting->loop);
    Py_VISIT(waiting->plain);
    Py_VISIT(waiting->listening);
    return 0;
}

static int
waiting_clear(PyObject *self)
{
    Waiting *waiting = (Waiting *)self;
    Py_CLEAR(waiting->loop);
    Py_CLEAR(waiting->plain);
    Py_CLEAR(waiting->listening);
    return 0;
}

static void
waiting_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)waiting_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef waiting_methods[] = {
    {"begin", waiting_begin, METH_NOARGS, "One more waits."},
    {"end", waiting_end, METH_NOARGS, "One waits no longer."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject Waiting_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Waiting",
    .tp_basicsize = sizeof(Waiting),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = waiting_new,
    .tp_dealloc = waiting_dealloc,
    .tp_traverse = waiting_traverse,
    .tp_clear = waiting_clear,
    .tp_methods = waiting_methods,
};

/* An awaitable that drives a coroutine and marks where each of its steps begins and ends. */

typedef struct {
    PyObject_HEAD
    PyObject *coroutine;
    PyObject *timeline;
    PyObject *waiting;
    PyObject *mark_awaited;
    int64_t track;
    char waits;
    char ended;
} Steps;

static void
step_begins(Steps *steps)
{
    if (steps->waits) {
        steps->waits = 0;
        waiting_ends((Waiting *)steps->waiting);
    }
    marks_now((Marks *)steps->timeline, STEP, steps->track);
}

static void
steps_done(Steps *steps)
{
    if (!steps->ended) {
        steps->ended = 1;
        marks_now((Marks *)steps->timeline, DONE, steps->track);
    }
}

/* Only where the request has tasks of its own: Python finds out which one is waited for. */
static void
note_awaited(Steps *steps, PyObject *future)
{
    PyObject *children = ((Marks *)steps->timeline)->children;
    if (children != NULL && PyList_Check(children) && PyList_GET_SIZE(children)) {
        PyObject *track = PyLong_FromLongLong(steps->track);
        if (track != NULL) {
            PyObject *done = PyObject_CallFunctionObjArgs(steps->mark_awaited, steps->timeline,
                                                          future, track, NULL);
            Py_XDECREF(done);
            Py_DECREF(track);
        }
    }
    PyErr_Clear();
}

static void
step_yielded(Steps *steps, PyObject *future)
{
    Marks *marks = (Marks *)steps->timeline;
    int64_t thread = this_thread();
    marks_push(marks, YIELD, now_ns(), thread, (int64_t)(uintptr_t)future);
    if (marks->handing == thread) {
        marks->handing = 0;
        return;
    }
    note_awaited(steps, future);
    if (steps->waiting != NULL) {
        steps->waits = 1;
        waiting_begins((Waiting *)steps->waiting);
    }
}

static PySendResult
steps_send(PyObject *self, PyObject *value, PyObject **result)
{
    Steps *steps = (Steps *)self;
    step_begins(steps);
    PySendResult state = PyIter_Send(steps->coroutine, value, result);
    if (state == PYGEN_NEXT) {
        step_yielded(steps, *result);
    }
    else {
        steps_done(steps);
    }
    return state;
}

static PyObject *
steps_next(PyObject *self)
{
    PyObject *result = NULL;
    PySendResult state = steps_send(self, Py_None, &result);
    if (state == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_DECREF(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        return NULL;
    }
    return result;
}

static PyObject *
steps_send_method(PyObject *self, PyObject *Py_UNUSED(value))
{
    return steps_next(self);
}

static PyObject *
steps_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Steps *steps = (Steps *)self;
    PyObject *throw = PyObject_GetAttrString(steps->coroutine, "throw");
    if (throw == NULL) {
        return NULL;
    }
    step_begins(steps);
    PyObject *result = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
    Py_DECREF(throw);
    if (result != NULL) {
        step_yielded(steps, result);
    }
    else {
        steps_done(steps);
    }
    return result;
}

static PyObject *
steps_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Steps *steps = (Steps *)self;
    if (steps->waits) {
        steps->waits = 0;
        waiting_ends((Waiting *)steps->waiting);
    }
    PyObject *closed = PyObject_CallMethod(steps->coroutine, "close", NULL);
    steps_done(steps);
    return closed;
}

/* An awaitable that drives a coroutine; `waiting` may be NULL. NULL with an error. */
static PyObject *
steps_made(PyObject *coroutine, Marks *marks, int64_t track, PyObject *waiting,
           PyObject *mark_awaited)
{
    Steps *steps = (Steps *)Steps_Type.tp_alloc(&Steps_Type, 0);
    if (steps != NULL) {
        steps->coroutine = Py_NewRef(coroutine);
        steps->timeline = Py_NewRef((PyObject *)marks);
        steps->waiting = Py_XNewRef(waiting);
        steps->mark_awaited = Py_NewRef(mark_awaited);
        steps->track = track;
    }
    return (PyObject *)steps;
}

static PyObject *
steps_new(PyTypeObject *Py_UNUSED(type), PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *coroutine, *timeline, *waiting, *mark_awaited;
    long long track;
    if (!PyArg_ParseTuple(args, "OO!LOO", &coroutine, &Marks_Type, &timeline, &track, &waiting,
                          &mark_awaited)) {
        return NULL;
    }
    if (waiting != Py_None && !Py_IS_TYPE(waiting, &Waiting_Type)) {
        PyErr_SetString(PyExc_TypeError, "not a Waiting");
        return NULL;
    }
    return steps_made(coroutine, (Marks *)timeline, track, waiting == Py_None ? NULL : waiting,
                      mark_awaited);
}

static int
steps_traverse(PyObject *self, visitproc visit, void *arg)
{
    Steps *steps = (Steps *)self;
    Py_VISIT(steps->coroutine);
    Py_VISIT(steps->timeline);
    Py_VISIT(steps->waiting);
    Py_VISIT(steps->mark_awaited);
    return 0;
}

static int
steps_clear(PyObject *self)
{
    Steps *steps = (Steps *)self;
    if (steps->waits && steps->waiting != NULL) {
        steps->waits = 0;
        waiting_ends((Waiting *)steps->waiting);
    }
    Py_CLEAR(steps->coroutine);
    Py_CLEAR(steps->timeline);
    Py_CLEAR(steps->waiting);
    Py_CLEAR(steps->mark_awaited);
    return 0;
}

static void
steps_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    (void)steps_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef steps_methods[] = {
    {"send", steps_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))steps_throw, METH_FASTCALL, NULL},
    {"close", steps_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods steps_async = {.am_await = PyObject_SelfIter, .am_send = steps_send};

PyTypeObject Steps_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Steps",
    .tp_basicsize = sizeof(Steps),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = steps_new,
    .tp_dealloc = steps_dealloc,
    .tp_traverse = steps_traverse,
    .tp_clear = steps_clear,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = steps_next,
    .tp_as_async = &steps_async,
    .tp_methods = steps_methods,
};

bool
steps_prepare(void)
{
    call_soon = PyUnicode_InternFromString("call_soon");
    return call_soon != NULL;
}
