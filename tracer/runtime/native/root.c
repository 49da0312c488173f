#include "native.h"

/* The coroutine in which a server calls its application, as the root of a request: what
   `tracer.runtime.tasks.root_track` says in Python. */

static PyObject *waiting_word, *watched_name, *close_name, *throw_word;

/* What all roots have in common. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *variable;
    PyObject *running_loop; /* asyncio's, as the next */
    PyObject *current_task;
    PyObject *mark_awaited;
    PyObject *recorder;
} Roots;

typedef struct {
    PyObject_HEAD
    Roots *roots;
    PyObject *coroutine;
    PyObject *steps; /* drives it, from its first step on */
    PyObject *timeline;
    PyObject *settle; /* (timeline, cycle): sets what only the server knows at the end */
    PyObject *cycle;
} Root;

/* Borrowed: what counts the loop's tasks that wait, or NULL. */
static PyObject *
waiting_of(PyObject *loop)
{
    PyObject *watched = optional_attr(loop, watched_name);
    PyObject *waiting = watched != NULL && PyDict_Check(watched)
                            ? PyDict_GetItemWithError(watched, waiting_word)
                            : NULL;
    Py_XDECREF(watched); /* the loop has it */
    PyErr_Clear();
    return waiting != NULL && Py_IS_TYPE(waiting, &Waiting_Type) ? waiting : NULL;
}

/* Watch the loop, unless it is, and mark the task. False with an error. */
static bool
follows(Roots *roots, Marks *marks, PyObject **waiting)
{
    PyObject *loop = PyObject_CallNoArgs(roots->running_loop);
    if (loop == NULL) {
        return false;
    }
    *waiting = waiting_of(loop);
    if (*waiting == NULL) {
        PyObject *done = PyObject_CallMethod(roots->recorder, "watch_loop", "O", loop);
        Py_XDECREF(done);
        if (done == NULL) {
            Py_DECREF(loop);
            return false;
        }
        *waiting = waiting_of(loop);
    }
    PyObject *task = PyObject_CallOneArg(roots->current_task, loop);
    Py_DECREF(loop);
    if (task == NULL) {
        return false;
    }
    marks_now(marks, TASK, (int64_t)(uintptr_t)task);
    Py_DECREF(task);
    return true;
}

static bool
root_begins(Root *root)
{
    Marks *marks = (Marks *)root->timeline;
    PyObject *waiting = NULL;
    PyObject *token = PyContextVar_Set(root->roots->variable, root->timeline);
    Py_XDECREF(token);
    if (token == NULL || !follows(root->roots, marks, &waiting)) {
        PyErr_Clear();
        Py_DECREF(marks_drop(root->timeline, NULL));
    }
    root->steps = steps_made(root->coroutine, marks, 0, waiting, root->roots->mark_awaited);
    return root->steps != NULL;
}

static void
root_ends(Root *root)
{
    PyObject *timeline = root->timeline, *settle = root->settle, *cycle = root->cycle;
    if (timeline == NULL) {
        return;
    }
    root->timeline = root->settle = root->cycle = NULL;
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    Py_XDECREF(PyObject_CallFunctionObjArgs(settle, timeline, cycle, NULL));
    PyErr_Clear();
    Py_XDECREF(PyObject_CallMethodOneArg(root->roots->recorder, close_name, timeline));
    PyErr_Clear();
    PyErr_Restore(type, error, trace);
    Py_DECREF(cycle);
    Py_DECREF(settle);
    Py_DECREF(timeline);
}

static bool
root_runs(Root *root)
{
    if (root->steps != NULL) {
        return true;
    }
    if (root->timeline == NULL || root->coroutine == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
        return false;
    }
    return root_begins(root);
}

static PySendResult
root_send(PyObject *self, PyObject *value, PyObject **result)
{
    Root *root = (Root *)self;
    if (!root_runs(root)) {
        return PYGEN_ERROR;
    }
    PySendResult state = PyIter_Send(root->steps, value, result);
    if (state != PYGEN_NEXT) {
        root_ends(root);
    }
    return state;
}

static PyObject *
root_next(PyObject *self)
{
    PyObject *result = NULL;
    if (root_send(self, Py_None, &result) == PYGEN_RETURN) {
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
root_send_method(PyObject *self, PyObject *Py_UNUSED(value))
{
    return root_next(self);
}

static PyObject *
root_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Root *root = (Root *)self;
    if (!root_runs(root)) {
        return NULL;
    }
    PyObject *throw = PyObject_GetAttr(root->steps, throw_word);
    PyObject *result = throw == NULL ? NULL : PyObject_Vectorcall(throw, args, (size_t)count, NULL);
    Py_XDECREF(throw);
    if (result == NULL) {
        root_ends(root);
    }
    return result;
}

static PyObject *
root_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Root *root = (Root *)self;
    PyObject *running = root->steps != NULL ? root->steps : root->coroutine;
    PyObject *closed = running == NULL ? Py_NewRef(Py_None)
                                       : PyObject_CallMethodNoArgs(running, close_name);
    if (root->steps != NULL) {
        root_ends(root);
    }
    Py_CLEAR(root->timeline);
    return closed;
}

/* What a coroutine says of itself is that of the server's. */
static PyObject *
root_getattro(PyObject *self, PyObject *name)
{
    return attr_or_wrapped(self, name, ((Root *)self)->coroutine);
}

static PyObject *
root_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return Py_NewRef((PyObject *)&PyCoro_Type);
}

static int
root_traverse(PyObject *self, visitproc visit, void *arg)
{
    Root *root = (Root *)self;
    Py_VISIT(root->roots);
    Py_VISIT(root->coroutine);
    Py_VISIT(root->steps);
    Py_VISIT(root->timeline);
    Py_VISIT(root->settle);
    Py_VISIT(root->cycle);
    return 0;
}

static int
root_clear(PyObject *self)
{
    Root *root = (Root *)self;
    Py_CLEAR(root->steps);
    Py_CLEAR(root->coroutine);
    Py_CLEAR(root->timeline);
    Py_CLEAR(root->settle);
    Py_CLEAR(root->cycle);
    return 0;
}

static void
root_dealloc(PyObject *self)
{
    Root *root = (Root *)self;
    PyObject_GC_UnTrack(self);
    if (root->steps != NULL && root->timeline != NULL) { /* its loop has gone while it waited */
        PyObject *type, *error, *trace;
        PyErr_Fetch(&type, &error, &trace);
        Py_XDECREF(root_close(self, NULL));
        PyErr_Clear();
        PyErr_Restore(type, error, trace);
    }
    (void)root_clear(self);
    Py_CLEAR(root->roots);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef root_methods[] = {
    {"send", root_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))root_throw, METH_FASTCALL, NULL},
    {"close", root_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef root_attributes[] = {
    {"__class__", root_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyAsyncMethods root_async = {.am_await = PyObject_SelfIter, .am_send = root_send};

static PyTypeObject Root_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Root",
    .tp_basicsize = sizeof(Root),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = root_dealloc,
    .tp_traverse = root_traverse,
    .tp_clear = root_clear,
    .tp_getattro = root_getattro,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = root_next,
    .tp_as_async = &root_async,
    .tp_methods = root_methods,
    .tp_getset = root_attributes,
};

PyObject *
root_made(PyObject *roots, Marks *marks, PyObject *coroutine, PyObject *settle, PyObject *cycle)
{
    Root *root = coroutine == NULL ? NULL : (Root *)Root_Type.tp_alloc(&Root_Type, 0);
    if (root == NULL) {
        Py_XDECREF(coroutine);
        return NULL;
    }
    root->roots = (Roots *)Py_NewRef(roots);
    root->coroutine = coroutine;
    root->timeline = Py_NewRef((PyObject *)marks);
    root->settle = Py_NewRef(settle);
    root->cycle = Py_NewRef(cycle);
    return (PyObject *)root;
}

/* roots(timeline, coroutine, settle, cycle) */
static PyObject *
roots_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    if (PyVectorcall_NARGS(nargsf) != 4 || names != NULL || !is_marks(args[0])) {
        PyErr_SetString(PyExc_TypeError, "roots(timeline, coroutine, settle, cycle)");
        return NULL;
    }
    return root_made(self, (Marks *)args[0], Py_NewRef(args[1]), args[2], args[3]);
}

/* (variable, get_running_loop, current_task, mark_awaited, recorder) */
static PyObject *
roots_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names))
{
    PyObject *variable, *running_loop, *current_task, *mark_awaited, *recorder;
    if (!PyArg_ParseTuple(args, "OOOOO", &variable, &running_loop, &current_task, &mark_awaited,
                          &recorder)) {
        return NULL;
    }
    Roots *roots = (Roots *)type->tp_alloc(type, 0);
    if (roots != NULL) {
        roots->call = roots_call;
        roots->variable = Py_NewRef(variable);
        roots->running_loop = Py_NewRef(running_loop);
        roots->current_task = Py_NewRef(current_task);
        roots->mark_awaited = Py_NewRef(mark_awaited);
        roots->recorder = Py_NewRef(recorder);
    }
    return (PyObject *)roots;
}

static int
roots_traverse(PyObject *self, visitproc visit, void *arg)
{
    Roots *roots = (Roots *)self;
    Py_VISIT(roots->variable);
    Py_VISIT(roots->running_loop);
    Py_VISIT(roots->current_task);
    Py_VISIT(roots->mark_awaited);
    Py_VISIT(roots->recorder);
    return 0;
}

static void
roots_dealloc(PyObject *self)
{
    Roots *roots = (Roots *)self;
    PyObject_GC_UnTrack(self);
    Py_CLEAR(roots->variable);
    Py_CLEAR(roots->running_loop);
    Py_CLEAR(roots->current_task);
    Py_CLEAR(roots->mark_awaited);
    Py_CLEAR(roots->recorder);
    Py_TYPE(self)->tp_free(self);
}

PyTypeObject Roots_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Roots",
    .tp_doc = "Makes of a server's coroutine the root of a request; see `tracer.runtime.tasks.root_track`.",
    .tp_basicsize = sizeof(Roots),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = roots_new,
    .tp_traverse = roots_traverse,
    .tp_dealloc = roots_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Roots, call),
};

bool
root_prepare(void)
{
    waiting_word = PyUnicode_InternFromString("waiting");
    watched_name = PyUnicode_InternFromString("_tracer_watched");
    close_name = PyUnicode_InternFromString("close");
    throw_word = PyUnicode_InternFromString("throw");
    return waiting_word && watched_name && close_name && throw_word &&
           PyType_Ready(&Root_Type) == 0;
}
