#include "native.h"

/* A coroutine that marks where it begins, when it is first awaited, and where it ends: a hand-off
   as whoever asks for it sees it, or the scope of a coroutine function. */

typedef struct {
    PyObject_HEAD
    PyObject *call;     /* the coroutine that it stands for, or what else is awaited */
    PyObject *function; /* what gives that, where it isn't called before it is awaited */
    PyObject *args;
    PyObject *keywords;
    PyObject *timeline;
    PyObject *failed;   /* is told what exception ended it, or NULL */
    int64_t begin;      /* 0 where nothing is marked */
    int64_t end;
    int64_t number; /* of the site or the owner */
    char begun;
    char ended;
} Awaited;

static PyObject *throw_word, *close_word, *qualname_word;

void
mark_end(Marks *marks, int64_t end, int64_t number)
{
    if (end == HOP_END) {
        marks->handing = 0;
        number = 0;
    }
    marks_now(marks, end, number);
}

static void
awaited_begins(Awaited *awaited)
{
    if (!awaited->begun) {
        awaited->begun = 1;
        if (!awaited->begin) {
            return;
        }
        marks_now((Marks *)awaited->timeline, awaited->begin, awaited->number);
    }
}

static void
awaited_ends(Awaited *awaited)
{
    if (awaited->begun && !awaited->ended) {
        awaited->ended = 1;
        if (awaited->end) {
            mark_end((Marks *)awaited->timeline, awaited->end, awaited->number);
        }
    }
}

static void
awaited_failed(Awaited *awaited)
{
    if (awaited->failed != NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        tell_error(awaited->failed);
    }
    awaited_ends(awaited);
}

/* What `await` asks an object for; steals it. */
static PyObject *
iterator_of(PyObject *object)
{
    if (object == NULL || PyCoro_CheckExact(object) || PyGen_CheckExact(object)) {
        return object;
    }
    PyAsyncMethods *methods = Py_TYPE(object)->tp_as_async;
    PyObject *iterator = NULL;
    if (methods != NULL && methods->am_await != NULL) {
        iterator = methods->am_await(object);
    }
    else {
        PyErr_Format(PyExc_TypeError, "object %.100s can't be used in 'await' expression",
                     Py_TYPE(object)->tp_name);
    }
    Py_DECREF(object);
    return iterator;
}

static bool
awaited_called(Awaited *awaited)
{
    if (awaited->call == NULL && awaited->function != NULL) {
        awaited->call =
            iterator_of(PyObject_Call(awaited->function, awaited->args, awaited->keywords));
        Py_CLEAR(awaited->args);
        Py_CLEAR(awaited->keywords);
        if (awaited->call != NULL) {
            Py_CLEAR(awaited->function);
        }
    }
    else if (awaited->call == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited coroutine");
    }
    return awaited->call != NULL;
}

static PySendResult
awaited_send(PyObject *self, PyObject *value, PyObject **result)
{
    Awaited *awaited = (Awaited *)self;
    if (awaited->ended) {
        Py_CLEAR(awaited->call);
    }
    awaited_begins(awaited);
    PySendResult state =
        awaited_called(awaited) ? PyIter_Send(awaited->call, value, result) : PYGEN_ERROR;
    if (state == PYGEN_ERROR) {
        awaited_failed(awaited);
    }
    else if (state == PYGEN_RETURN) {
        awaited_ends(awaited);
    }
    return state;
}

static void
stop_with(PyObject *result)
{
    PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
    if (stop != NULL) {
        PyErr_SetObject(PyExc_StopIteration, stop);
        Py_DECREF(stop);
    }
}

static PyObject *
awaited_send_method(PyObject *self, PyObject *value)
{
    PyObject *result = NULL;
    if (awaited_send(self, value, &result) == PYGEN_RETURN) {
        stop_with(result);
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
awaited_next(PyObject *self)
{
    PyObject *result = NULL;
    if (awaited_send(self, Py_None, &result) == PYGEN_RETURN) {
        if (result != Py_None) { /* an iterator that ends without an exception gives None */
            stop_with(result);
        }
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
awaited_throw(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    Awaited *awaited = (Awaited *)self;
    if (!awaited_called(awaited)) {
        return NULL;
    }
    PyObject *throw = optional_attr(awaited->call, throw_word), *result = NULL;
    if (throw != NULL) {
        result = PyObject_Vectorcall(throw, args, (size_t)count, NULL);
        Py_DECREF(throw);
    }
    else if (count && PyExceptionInstance_Check(args[0])) {
        PyErr_SetObject(PyExceptionInstance_Class(args[0]), args[0]);
    }
    else {
        PyErr_SetObject(count ? args[0] : PyExc_TypeError, count > 1 ? args[1] : NULL);
    }
    if (result == NULL) {
        awaited_failed(awaited);
    }
    return result;
}

static PyObject *
awaited_close(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Awaited *awaited = (Awaited *)self;
    PyObject *close = awaited->call == NULL ? NULL : optional_attr(awaited->call, close_word);
    PyObject *closed = close == NULL ? Py_NewRef(Py_None) : PyObject_CallNoArgs(close);
    Py_XDECREF(close);
    awaited_ends(awaited);
    awaited->begun = awaited->ended = 1;
    Py_CLEAR(awaited->function);
    return closed;
}

/* What a coroutine says of itself (its code, frame and name, what it awaits) is the call's. */
static PyObject *
awaited_getattro(PyObject *self, PyObject *name)
{
    Awaited *awaited = (Awaited *)self;
    return attr_or_wrapped(self, name, awaited->call != NULL ? awaited->call : awaited->function);
}

static int
awaited_traverse(PyObject *self, visitproc visit, void *arg)
{
    Awaited *awaited = (Awaited *)self;
    Py_VISIT(awaited->call);
    Py_VISIT(awaited->function);
    Py_VISIT(awaited->args);
    Py_VISIT(awaited->keywords);
    Py_VISIT(awaited->timeline);
    Py_VISIT(awaited->failed);
    return 0;
}

/* As of any coroutine. One that was called says so itself. */
static void
warn_of_never_awaited(Awaited *awaited)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *name = optional_attr(awaited->function, qualname_word);
    if (PyErr_WarnFormat(PyExc_RuntimeWarning, 1, "coroutine '%S' was never awaited",
                         name == NULL ? awaited->function : name) < 0) {
        PyErr_WriteUnraisable(awaited->function);
    }
    Py_XDECREF(name);
    PyErr_Restore(type, value, trace);
}

static int
awaited_clear(PyObject *self)
{
    Awaited *awaited = (Awaited *)self;
    Py_CLEAR(awaited->call);
    awaited_ends(awaited);
    Py_CLEAR(awaited->function);
    Py_CLEAR(awaited->args);
    Py_CLEAR(awaited->keywords);
    return 0;
}

static void
awaited_dealloc(PyObject *self)
{
    Awaited *awaited = (Awaited *)self;
    PyObject_GC_UnTrack(self);
    if (!awaited->begun && awaited->function != NULL) {
        warn_of_never_awaited(awaited);
    }
    (void)awaited_clear(self);
    Py_CLEAR(awaited->timeline);
    Py_CLEAR(awaited->failed);
    Py_TYPE(self)->tp_free(self);
}

/* `inspect.iscoroutine` is how some find out whether to await what a middleware gave them. */
static PyObject *
awaited_class(PyObject *Py_UNUSED(self), void *Py_UNUSED(unused))
{
    return Py_NewRef((PyObject *)&PyCoro_Type);
}

static PyGetSetDef awaited_attributes[] = {
    {"__class__", awaited_class, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef awaited_methods[] = {
    {"send", awaited_send_method, METH_O, NULL},
    {"throw", (PyCFunction)(void (*)(void))awaited_throw, METH_FASTCALL, NULL},
    {"close", awaited_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyAsyncMethods awaited_async = {.am_await = PyObject_SelfIter, .am_send = awaited_send};

PyTypeObject Awaited_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Awaited",
    .tp_basicsize = sizeof(Awaited),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = awaited_dealloc,
    .tp_traverse = awaited_traverse,
    .tp_clear = awaited_clear,
    .tp_getattro = awaited_getattro,
    .tp_iter = PyObject_SelfIter,
    .tp_iternext = awaited_next,
    .tp_as_async = &awaited_async,
    .tp_methods = awaited_methods,
    .tp_getset = awaited_attributes,
};

/* Nothing in it yet; steals the timeline. NULL, without an error, where there is no memory. */
static Awaited *
awaited_new(Marks *marks, int64_t begin, int64_t end, int64_t number)
{
    Awaited *awaited = (Awaited *)Awaited_Type.tp_alloc(&Awaited_Type, 0);
    if (awaited == NULL) {
        PyErr_Clear();
        Py_DECREF(marks);
        return NULL;
    }
    awaited->timeline = (PyObject *)marks;
    awaited->begin = begin;
    awaited->end = end;
    awaited->number = number;
    return awaited;
}

/* What is awaited in a scope that has begun; steals both. */
static PyObject *
in_scope(PyObject *call, Marks *marks, int64_t end, int64_t number)
{
    if (call != NULL && PyCoro_CheckExact(call) && ends_with(call, marks, end, number)) {
        Py_DECREF(marks);
        return call;
    }
    call = iterator_of(call);
    Awaited *awaited = call == NULL ? NULL : awaited_new((Marks *)Py_NewRef(marks), 0, end, number);
    if (awaited == NULL) {
        mark_end(marks, end, number);
        Py_DECREF(marks);
        return call;
    }
    Py_DECREF(marks);
    awaited->begun = 1;
    awaited->call = call;
    return (PyObject *)awaited;
}

PyObject *
with_marks(PyObject *call, Marks *marks, int64_t begin, int64_t end, int64_t number)
{
    if (call == NULL || marks == NULL) {
        Py_XDECREF(marks);
        return call;
    }
    if (is_awaited_directly()) {
        marks_now(marks, begin, number);
        return in_scope(call, marks, end, number);
    }
    Awaited *awaited = awaited_new(marks, begin, end, number);
    if (awaited == NULL) {
        return call;
    }
    awaited->call = call;
    return (PyObject *)awaited;
}

/* Have `wrapped` called with these arguments when it is awaited; false where there is no memory. */
static bool
call_later(Awaited *awaited, PyObject *wrapped, PyObject *const *args, Py_ssize_t count,
           PyObject *names)
{
    awaited->args = PyTuple_New(count);
    awaited->keywords = names == NULL ? NULL : PyDict_New();
    bool fits = awaited->args != NULL && (names == NULL || awaited->keywords != NULL);
    for (Py_ssize_t i = 0; fits && i < count; i++) {
        PyTuple_SET_ITEM(awaited->args, i, Py_NewRef(args[i]));
    }
    for (Py_ssize_t i = 0; fits && names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        fits = PyDict_SetItem(awaited->keywords, PyTuple_GET_ITEM(names, i), args[count + i]) == 0;
    }
    awaited->function = fits ? Py_NewRef(wrapped) : NULL;
    return fits;
}

/* What gives something to await: called when it is awaited, which may be at once, unless to call it
   is but to make a coroutine, which runs nothing yet. */
static PyObject *
async_scope_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *scope = (Wrapper *)self;
    Marks *marks = current_marks(scope->variable);
    if (marks == NULL && scope->other != NULL) {
        return PyObject_Vectorcall(scope->other, args, nargsf, names);
    }
    if (marks == NULL || scope->limit) {
        PyObject *call = PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
        return with_marks(call, marks, ENTER, EXIT, scope->number);
    }
    if (is_awaited_directly()) {
        marks_now(marks, ENTER, scope->number);
        PyObject *call = PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
        return in_scope(call, marks, EXIT, scope->number);
    }
    Awaited *awaited = awaited_new(marks, ENTER, EXIT, scope->number);
    if (awaited == NULL ||
        !call_later(awaited, scope->wrapped, args, PyVectorcall_NARGS(nargsf), names)) {
        PyErr_Clear();
        Py_XDECREF(awaited);
        return PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
    }
    return (PyObject *)awaited;
}

/* async_scope(variable, wrapped, owner, makes a coroutine[, what is called where no timeline is current]) */
PyObject *
native_async_scope(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped, *otherwise = NULL;
    long long owner;
    int makes;
    if (!PyArg_ParseTuple(args, "OOLp|O", &variable, &wrapped, &owner, &makes, &otherwise)) {
        return NULL;
    }
    Wrapper *scope = (Wrapper *)wrapper_new(async_scope_call, wrapped);
    if (scope != NULL) {
        scope->variable = Py_NewRef(variable);
        scope->number = owner;
        scope->limit = makes;
        scope->other = Py_XNewRef(otherwise);
    }
    return (PyObject *)scope;
}

/* An application, called by its server; an exception that leaves it is told. */
static PyObject *
noting_errors_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *noting = (Wrapper *)self;
    Marks *marks = current_marks(noting->variable);
    PyObject *call = PyObject_Vectorcall(noting->wrapped, args, nargsf, names);
    if (marks == NULL) {
        return call;
    }
    call = iterator_of(call);
    if (call == NULL) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            tell_error(noting->other);
        }
        Py_DECREF(marks);
        return NULL;
    }
    Awaited *awaited = awaited_new(marks, 0, 0, 0);
    if (awaited == NULL) {
        return call;
    }
    awaited->call = call;
    awaited->failed = Py_NewRef(noting->other);
    return (PyObject *)awaited;
}

/* noting_errors(wrapped, variable, failed) */
PyObject *
native_noting_errors(PyObject *Py_UNUSED(module), PyObject *args)
{
    return native_wrapper(noting_errors_call, args);
}

bool
coroutines_prepare(void)
{
    throw_word = PyUnicode_InternFromString("throw");
    close_word = PyUnicode_InternFromString("close");
    qualname_word = PyUnicode_InternFromString("__qualname__");
    return qualname_word && throw_word && close_word && PyType_Ready(&Awaited_Type) == 0;
}
