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

/* A coroutine that drives another and marks where each of its steps begins and ends. */

typedef struct {
    PyObject_HEAD
    PyObject *coroutine;
    PyObject *timeline;
    PyObject *begin;   /* (timeline), at the first step: gives the next, or None */
    PyObject *waiting; /* what counts the loop's tasks that wait, or NULL */
    PyObject *mark_awaited;
    PyObject *end; /* (), when it is over, or NULL */
    int64_t track;
    char begun;
    char waits;
    char ended;
} Steps;

static void
steps_begin(Steps *steps)
{
    steps->begun = 1;
    PyObject *waiting = PyObject_CallOneArg(steps->begin, steps->timeline);
    PyErr_Clear();
    if (waiting != NULL && Py_IS_TYPE(waiting, &Waiting_Type)) {
        steps->waiting = Py_NewRef(waiting);
    }
    Py_XDECREF(waiting);
}

static void
step_begins(Steps *steps)
{
    if (steps->waits) {
        steps->waits = 0;
        waiting_ends((Waiting *)steps->waiting);
    }
    if (steps->begun) {
        marks_now((Marks *)steps->timeline, STEP, steps->track);
    }
}

/* Leaves an error that is set as it is. */
static void
steps_done(Steps *steps)
{
    if (!steps->ended && steps->begun) {
        marks_now((Marks *)steps->timeline, DONE, steps->track);
    }
    steps->ended = 1;
    PyObject *end = steps->end;
    if (end != NULL) {
        steps->end = NULL;
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        Py_XDECREF(PyObject_CallNoArgs(end));
        PyErr_Clear();
        PyErr_Restore(type, error, trace);
        Py_DECREF(end);
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
    if (!steps->begun) {
        steps_begin(steps);
    }
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
steps_send_method(PyObject *self, PyObject *value)
{
    PyObject *result = NULL;
    if (steps_send(self, value, &result) == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        Py_CLEAR(result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
    }
    return result;
}

static PyObject *
steps_next(PyObject *self)
{
    return steps_send_method(self, Py_None);
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

/* (coroutine, timeline, track, begin, mark_awaited[, end]) */
static PyObject *
steps_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(keywords))
{
    PyObject *coroutine, *timeline, *begin, *mark_awaited, *end = NULL;
    long long track;
    if (!PyArg_ParseTuple(args, "OO!LOO|O", &coroutine, &Marks_Type, &timeline, &track, &begin,
                          &mark_awaited, &end)) {
        return NULL;
    }
    Steps *steps = (Steps *)type->tp_alloc(type, 0);
    if (steps != NULL) {
        steps->coroutine = Py_NewRef(coroutine);
        steps->timeline = Py_NewRef(timeline);
        steps->begin = Py_NewRef(begin);
        steps->mark_awaited = Py_NewRef(mark_awaited);
        steps->end = Py_XNewRef(end);
        steps->track = track;
    }
    return (PyObject *)steps;
}

/* As of any coroutine: one that nobody will run on is closed. */
static void
steps_finalize(PyObject *self)
{
    Steps *steps = (Steps *)self;
    if (steps->begun && !steps->ended && steps->coroutine != NULL) {
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        PyObject *closed = steps_close(self, NULL);
        if (closed == NULL) {
            PyErr_WriteUnraisable(self);
        }
        Py_XDECREF(closed);
        PyErr_Restore(type, error, trace);
    }
}

/* What a coroutine says of itself (its code, frame and name, what it awaits) is the other's. */
static PyObject *
steps_getattro(PyObject *self, PyObject *name)
{
    return attr_or_wrapped(self, name, ((Steps *)self)->coroutine);
}

static PyObject *
steps_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return Py_NewRef((PyObject *)&PyCoro_Type);
}

static PyGetSetDef steps_attributes[] = {
    {"__class__", steps_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static int
steps_traverse(PyObject *self, visitproc visit, void *arg)
{
    Steps *steps = (Steps *)self;
    Py_VISIT(steps->coroutine);
    Py_VISIT(steps->timeline);
    Py_VISIT(steps->begin);
    Py_VISIT(steps->waiting);
    Py_VISIT(steps->mark_awaited);
    Py_VISIT(steps->end);
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
    Py_CLEAR(steps->begin);
    Py_CLEAR(steps->waiting);
    Py_CLEAR(steps->mark_awaited);
    Py_CLEAR(steps->end);
    return 0;
}

static void
steps_dealloc(PyObject *self)
{
    if (PyObject_CallFinalizerFromDealloc(self) < 0) {
        return;
    }
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
    .tp_finalize = steps_finalize,
    .tp_getattro = steps_getattro,
    .tp_getset = steps_attributes,
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
