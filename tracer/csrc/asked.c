#include "native.h"

/* A hand-off as whoever asks for it sees it: begun when it is first awaited, and its answer. */

typedef struct {
    PyObject_HEAD
    PyObject *call; /* the coroutine of asgiref's that hands over */
    PyObject *timeline;
    int64_t site;
    char begun;
    char ended;
} Asked;

static PyObject *func_word, *throw_word, *close_word;

static void
asked_begins(Asked *asked)
{
    if (!asked->begun) {
        asked->begun = 1;
        marks_now((Marks *)asked->timeline, HOP, asked->site);
    }
}

static void
asked_ends(Asked *asked)
{
    if (asked->begun && !asked->ended) {
        asked->ended = 1;
        ((Marks *)asked->timeline)->handing = 0;
        marks_now((Marks *)asked->timeline, HOP_END, 0);
    }
}

static PySendResult
asked_send(PyObject *self, PyObject *value, PyObject **result)
{
    Asked *asked = (Asked *)self;
    asked_begins(asked);
    PySendResult state = PyIter_Send(asked->call, value, result);
    if (state != PYGEN_NEXT) {
        asked_ends(asked);
    }
    return state;
}

static PyObject *
asked_send_method(PyObject *self, PyObject *value)
{
    PyObject *result = NULL;
    if (asked_send(self, value, &result) == PYGEN_RETURN) {
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
asked_next(PyObject *self)
{
    return asked_send_method(self, Py_None);
}

static PyObject *
asked_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Asked *asked = (Asked *)self;
    PyObject *throw = PyObject_GetAttr(asked->call, throw_word);
    if (throw == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
    Py_DECREF(throw);
    if (result == NULL) {
        asked_ends(asked);
    }
    return result;
}

static PyObject *
asked_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    PyObject *closed = PyObject_CallMethodNoArgs(((Asked *)self)->call, close_word);
    asked_ends((Asked *)self);
    return closed;
}

/* What a coroutine says of itself (its code, frame and name, what it awaits) is the call's. */
static PyObject *
asked_getattro(PyObject *self, PyObject *name)
{
    return attr_or_wrapped(self, name, ((Asked *)self)->call);
}

static int
asked_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((Asked *)self)->call);
    Py_VISIT(((Asked *)self)->timeline);
    return 0;
}

static void
asked_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((Asked *)self)->call);
    asked_ends((Asked *)self);
    Py_CLEAR(((Asked *)self)->timeline);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef asked_methods[] = {
    {"send", asked_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))asked_throw, METH_FASTCALL, NULL},
    {"close", asked_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods asked_async = {.am_await = PyObject_SelfIter, .am_send = asked_send};

PyTypeObject Asked_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer._native.Asked",
    .tp_basicsize = sizeof(Asked),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = asked_dealloc,
    .tp_traverse = asked_traverse,
    .tp_getattro = asked_getattro,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = asked_next,
    .tp_as_async = &asked_async,
    .tp_methods = asked_methods,
};

/* The number of the site; `other` is `(known, ours, name_attribute, ask)`. No error is left. */
static int64_t
site_number(PyObject *other, PyObject *instance)
{
    PyObject *function = optional_attr(instance, func_word), *site = NULL;
    if (function != NULL) {
        site = known_site(PyTuple_GET_ITEM(other, 0), PyTuple_GET_ITEM(other, 1), function,
                          PyTuple_GET_ITEM(other, 2));
        if (site == NULL) {
            site = PyObject_CallOneArg(PyTuple_GET_ITEM(other, 3), function);
        }
    }
    int64_t number = site == NULL ? 0 : PyLong_AsLongLong(site);
    PyErr_Clear();
    Py_XDECREF(site);
    Py_XDECREF(function);
    return number < 0 ? 0 : number;
}

/* asgiref's `SyncToAsync.__call__`. */
static PyObject *
asked_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *ask = (StandIn *)self;
    Marks *marks = PyVectorcall_NARGS(nargsf) ? current_marks(ask->variable) : NULL;
    int64_t site = marks == NULL ? 0 : site_number(ask->other, args[0]);
    PyObject *call = PyObject_Vectorcall(ask->wrapped, args, nargsf, names);
    if (marks == NULL || call == NULL) {
        Py_XDECREF(marks);
        return call;
    }
    Asked *asked = (Asked *)Asked_Type.tp_alloc(&Asked_Type, 0);
    if (asked == NULL) {
        PyErr_Clear();
        Py_DECREF(marks);
        return call;
    }
    asked->call = call;
    asked->timeline = (PyObject *)marks;
    asked->site = site;
    return (PyObject *)asked;
}

/* asked(__call__, variable, (known, ours, name_attribute, ask)) */
PyObject *
native_asked(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *other;
    if (!PyArg_ParseTuple(args, "OOO!", &wrapped, &variable, &PyTuple_Type, &other)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) != 4 || !PyDict_Check(PyTuple_GET_ITEM(other, 0)) ||
        !PyDict_Check(PyTuple_GET_ITEM(other, 1))) {
        PyErr_SetString(PyExc_TypeError, "not (known, ours, name_attribute, ask)");
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(asked_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->other = Py_NewRef(other);
    }
    return (PyObject *)made;
}

bool
asked_prepare(void)
{
    func_word = PyUnicode_InternFromString("func");
    throw_word = PyUnicode_InternFromString("throw");
    close_word = PyUnicode_InternFromString("close");
    return func_word && throw_word && close_word && PyType_Ready(&Asked_Type) == 0;
}
