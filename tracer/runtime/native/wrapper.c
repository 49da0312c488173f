#include "native.h"

PyObject *name_attribute;
static PyObject *class_name, *wrapped_name, *marker_name, *mask_name;
static PyObject *known_names[KNOWN];

/* What wraps a function of somebody else's: called, bound, named and copied as that
   function is. It is none itself, so it never shows in a traceback. */

PyObject *
wrapper_new(vectorcallfunc call, PyObject *wrapped)
{
    Wrapper *made = (Wrapper *)Wrapper_Type.tp_alloc(&Wrapper_Type, 0);
    if (made != NULL) {
        made->call = call;
        made->wrapped = Py_NewRef(wrapped);
    }
    return (PyObject *)made;
}

/* A scope: its owner's code begins and ends with the call. */

static PyObject *
scope_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *scope = (Wrapper *)self;
    Marks *marks = scope->timeline != NULL ? (Marks *)Py_NewRef(scope->timeline)
                                           : current_marks(scope->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
    }
    int64_t owner = scope->number;
    marks_now(marks, ENTER, owner);
    PyObject *result = PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
    marks_now(marks, EXIT, owner);
    Py_DECREF(marks);
    return result;
}

/* What the server reads is a request's head until its method is known, then its body. */
static PyObject *
read_scope_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *scope = (Wrapper *)self;
    Marks *marks = current_marks(scope->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
    }
    int64_t owner = marks->method ? scope->number : scope->limit;
    marks_now(marks, ENTER, owner);
    PyObject *result = PyObject_Vectorcall(scope->wrapped, args, nargsf, names);
    marks_now(marks, EXIT, owner);
    Py_DECREF(marks);
    return result;
}

/* A method for one call, which takes itself out of the object that it was put into: otherwise
   the two would hold each other until the garbage collector comes. */
static PyObject *
closing_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *scope = (Wrapper *)self;
    PyObject *result;
    Py_INCREF(self);
    if (PyMethod_Check(scope->wrapped) &&
        PyObject_DelAttr(PyMethod_GET_SELF(scope->wrapped), scope->other) < 0) {
        PyErr_Clear();
    }
    result = scope_call(self, args, nargsf, names);
    Py_DECREF(self);
    return result;
}

PyObject *
scope_of_one(Marks *marks, PyObject *wrapped, int64_t owner)
{
    Wrapper *scope = (Wrapper *)wrapper_new(scope_call, wrapped);
    if (scope != NULL) {
        scope->timeline = Py_NewRef(marks);
        scope->number = owner;
    }
    return (PyObject *)scope;
}

PyObject *
native_scope(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped;
    long long owner;
    if (!PyArg_ParseTuple(args, "OOL", &variable, &wrapped, &owner)) {
        return NULL;
    }
    if (!is_marks(variable) && !PyContextVar_CheckExact(variable)) {
        PyErr_SetString(PyExc_TypeError, "neither a context variable nor a timeline");
        return NULL;
    }
    if (is_marks(variable)) {
        return scope_of_one((Marks *)variable, wrapped, owner);
    }
    Wrapper *scope = (Wrapper *)wrapper_new(scope_call, wrapped);
    if (scope != NULL) {
        scope->variable = Py_NewRef(variable);
        scope->number = owner;
    }
    return (PyObject *)scope;
}

/* read_scope(variable, wrapped, owner, owner before the method is known) */
PyObject *
native_read_scope(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped;
    long long owner, before;
    if (!PyArg_ParseTuple(args, "OOLL", &variable, &wrapped, &owner, &before)) {
        return NULL;
    }
    Wrapper *scope = (Wrapper *)wrapper_new(read_scope_call, wrapped);
    if (scope != NULL) {
        scope->variable = Py_NewRef(variable);
        scope->number = owner;
        scope->limit = before;
    }
    return (PyObject *)scope;
}

/* A handler's call gives a response whose `close` is a scope as well. */
static PyObject *
handler_call_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Marks *marks = current_marks(made->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    }
    marks_now(marks, ENTER, made->number);
    PyObject *response = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    marks_now(marks, EXIT, made->number);
    PyObject *close = response == NULL ? NULL : optional_attr(response, made->other);
    Wrapper *scope = close == NULL ? NULL : (Wrapper *)scope_of_one(marks, close, made->limit);
    if (scope != NULL) {
        scope->call = closing_call;
        scope->other = Py_NewRef(made->other);
        if (PyObject_SetAttr(response, made->other, (PyObject *)scope) < 0) {
            PyErr_Clear();
        }
        Py_DECREF(scope);
    }
    else if (close != NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(close);
    Py_DECREF(marks);
    return response;
}

/* handler_call(variable, wrapped, owner, owner of closing, its name) */
PyObject *
native_handler_call(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped, *name;
    long long owner, closing;
    if (!PyArg_ParseTuple(args, "OOLLU", &variable, &wrapped, &owner, &closing, &name)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(handler_call_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->number = owner;
        made->limit = closing;
        made->other = Py_NewRef(name);
    }
    return (PyObject *)made;
}

PyObject *
native_wrapper(vectorcallfunc call, PyObject *args)
{
    PyObject *wrapped, *variable = NULL, *other = NULL;
    if (!PyArg_ParseTuple(args, "O|OO", &wrapped, &variable, &other)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(call, wrapped);
    if (made != NULL) {
        made->variable = Py_XNewRef(variable);
        made->other = Py_XNewRef(other);
    }
    return (PyObject *)made;
}

static int
wrapper_traverse(PyObject *self, visitproc visit, void *arg)
{
    Wrapper *made = (Wrapper *)self;
    Py_VISIT(made->wrapped);
    Py_VISIT(made->variable);
    Py_VISIT(made->timeline);
    Py_VISIT(made->recorder);
    Py_VISIT(made->other);
    Py_VISIT(made->log);
    Py_VISIT(made->handles);
    Py_VISIT(made->dict);
    Py_VISIT(made->name);
    for (int i = 0; i < KNOWN; i++) {
        Py_VISIT(made->known[i]);
    }
    return 0;
}

static int
wrapper_clear(PyObject *self)
{
    Wrapper *made = (Wrapper *)self;
    Py_CLEAR(made->wrapped);
    Py_CLEAR(made->variable);
    Py_CLEAR(made->timeline);
    Py_CLEAR(made->recorder);
    Py_CLEAR(made->other);
    Py_CLEAR(made->log);
    Py_CLEAR(made->handles);
    Py_CLEAR(made->dict);
    Py_CLEAR(made->name);
    for (int i = 0; i < KNOWN; i++) {
        Py_CLEAR(made->known[i]);
    }
    return 0;
}

static void
wrapper_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (((Wrapper *)self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    (void)wrapper_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
wrapper_bind(PyObject *self, PyObject *instance, PyObject *Py_UNUSED(type))
{
    if (instance == NULL || instance == Py_None) {
        return Py_NewRef(self);
    }
    return PyMethod_New(self, instance);
}

static PyObject *
wrapper_repr(PyObject *self)
{
    return PyObject_Repr(((Wrapper *)self)->wrapped);
}

/* As of a function: a copy is the same, and a pickle is a name. */
static PyObject *
wrapper_reduce(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyMethodDef wrapper_methods[] = {
    {"__reduce__", wrapper_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

/* asgiref and `inspect` ask in every hand-off whether it is a function: it says yes at once. */
static PyObject *
wrapper_class(PyObject *self, void *Py_UNUSED(unused))
{
    PyObject *wrapped = ((Wrapper *)self)->wrapped;
    return Py_NewRef(wrapped == NULL ? (PyObject *)Py_TYPE(self) : (PyObject *)Py_TYPE(wrapped));
}

/* asgiref asks for a function's name, text and module in every hand-off: they stay what they were. */
static PyObject *
known_of_wrapped(Wrapper *made, int place)
{
    PyObject *found = made->known[place];
    if (found == NULL && (found = PyObject_GetAttr(made->wrapped, known_names[place])) != NULL) {
        Py_XSETREF(made->known[place], found);
    }
    return Py_XNewRef(found);
}

/* What Django and `inspect` ask for, with a value to take where there is none: that value, borrowed.
   To say that there is none would make an exception each time. */
static PyObject *
taken_instead(PyObject *name)
{
    return name == marker_name ? Py_None : name == mask_name ? Py_True : NULL;
}

/* What it has not been given is what its function has: a name, a view's attributes. `isinstance`
   asks for the class, forty times a request. */
static PyObject *
wrapper_getattro(PyObject *self, PyObject *name)
{
    Wrapper *made = (Wrapper *)self;
    if (name == class_name) {
        return wrapper_class(self, NULL);
    }
    if (made->dict != NULL && PyDict_GET_SIZE(made->dict)) {
        PyObject *own = PyDict_GetItemWithError(made->dict, name);
        if (own != NULL || PyErr_Occurred()) {
            return Py_XNewRef(own);
        }
    }
    if (name == name_attribute && made->name != NULL) {
        return Py_NewRef(made->name);
    }
    if (name == wrapped_name && made->says_wrapped && made->wrapped != NULL) {
        return Py_NewRef(made->wrapped);
    }
    for (int i = 0; i < KNOWN && made->wrapped != NULL; i++) {
        if (name == known_names[i]) {
            return known_of_wrapped(made, i);
        }
    }
    PyObject *instead = taken_instead(name);
    if (instead != NULL && made->wrapped != NULL) {
        PyObject *given = optional_attr(made->wrapped, name);
        return given != NULL ? given : Py_NewRef(instead);
    }
    PyObject *found = _PyType_Lookup(Py_TYPE(self), name);
    if (found == NULL) {
        return made->wrapped != NULL ? PyObject_GetAttr(made->wrapped, name)
                                     : PyObject_GenericGetAttr(self, name);
    }
    descrgetfunc get = Py_TYPE(found)->tp_descr_get;
    return get != NULL ? get(found, self, (PyObject *)Py_TYPE(self)) : Py_NewRef(found);
}

bool
wrapper_prepare(void)
{
    static const char *const known[KNOWN] = {"__name__", "__qualname__", "__module__", "__doc__",
                                             "__type_params__"};
    for (int i = 0; i < KNOWN; i++) {
        known_names[i] = PyUnicode_InternFromString(known[i]);
        if (known_names[i] == NULL) {
            return false;
        }
    }
    class_name = PyUnicode_InternFromString("__class__");
    wrapped_name = PyUnicode_InternFromString("__wrapped__");
    marker_name = PyUnicode_InternFromString("_is_coroutine_marker");
    mask_name = PyUnicode_InternFromString("_mask_wrapped");
    name_attribute = PyUnicode_InternFromString("_tracer_name");
    return name_attribute && class_name && wrapped_name && marker_name && mask_name &&
           PyType_Ready(&Wrapper_Type) == 0;
}

/* The two attributes that most are given need no dictionary. */
static int
wrapper_setattro(PyObject *self, PyObject *name, PyObject *value)
{
    Wrapper *made = (Wrapper *)self;
    if (name == name_attribute) {
        Py_XSETREF(made->name, Py_XNewRef(value));
        made->sites = made->log == NULL ? 0 : made->sites;
        return 0;
    }
    if (name == wrapped_name) {
        bool said = made->says_wrapped;
        made->says_wrapped = value != NULL && value == made->wrapped;
        if (made->says_wrapped || (said && value == NULL)) {
            return 0;
        }
    }
    return PyObject_GenericSetAttr(self, name, value);
}

static PyGetSetDef wrapper_attributes[] = {
    {"__class__", wrapper_class, NULL, NULL, NULL},
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyTypeObject Wrapper_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Wrapper",
    .tp_basicsize = sizeof(Wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_alloc = slot_alloc,
    .tp_dealloc = wrapper_dealloc,
    .tp_free = slot_free,
    .tp_traverse = wrapper_traverse,
    .tp_clear = wrapper_clear,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Wrapper, call),
    .tp_descr_get = wrapper_bind,
    .tp_getattro = wrapper_getattro,
    .tp_setattro = wrapper_setattro,
    .tp_repr = wrapper_repr,
    .tp_methods = wrapper_methods,
    .tp_getset = wrapper_attributes,
    .tp_dictoffset = offsetof(Wrapper, dict),
    .tp_weaklistoffset = offsetof(Wrapper, weakrefs),
};
