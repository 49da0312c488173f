#include "native.h"

/* A signal's receivers as one request sends to them: a scope each, made anew. */

/* The number of a receiver's owner by its code's address; -1 where that isn't known. */
static int64_t
owner_of(PyObject *known, PyObject *receiver)
{
    PyObject *function = PyMethod_Check(receiver) ? PyMethod_GET_FUNCTION(receiver) : receiver;
    if (!PyFunction_Check(function)) {
        return -1;
    }
    PyObject *address = PyLong_FromVoidPtr(PyFunction_GET_CODE(function));
    PyObject *number = address == NULL ? NULL : PyDict_GetItemWithError(known, address);
    Py_XDECREF(address);
    long long owner = number == NULL ? -1 : PyLong_AsLongLong(number);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        owner = -1;
    }
    return owner;
}

/* A list of scopes, or NULL without an error where one of its receivers isn't known. */
static PyObject *
scopes_of(Marks *marks, PyObject *known, PyObject *receivers)
{
    if (!PyList_CheckExact(receivers)) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(receivers);
    PyObject *made = PyList_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        PyObject *receiver = PyList_GET_ITEM(receivers, i);
        int64_t owner = owner_of(known, receiver);
        PyObject *scope = owner < 0 ? NULL : scope_of_one(marks, receiver, owner);
        if (scope == NULL) {
            Py_CLEAR(made);
            break;
        }
        PyList_SET_ITEM(made, i, scope);
    }
    PyErr_Clear();
    return made;
}

static PyObject *
traced(Marks *marks, PyObject *known, PyObject *live)
{
    if (!PyTuple_CheckExact(live)) {
        return scopes_of(marks, known, live);
    }
    Py_ssize_t count = PyTuple_GET_SIZE(live);
    PyObject *made = PyTuple_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) {
        PyObject *scopes = scopes_of(marks, known, PyTuple_GET_ITEM(live, i));
        if (scopes == NULL) {
            Py_CLEAR(made);
            break;
        }
        PyTuple_SET_ITEM(made, i, scopes);
    }
    PyErr_Clear();
    return made;
}

/* What is known of the receivers of the signal that is sent, borrowed; NULL where that signal isn't
   a request's. */
static PyObject *
known_of(Wrapper *made, PyObject *const *args, size_t nargsf)
{
    if (PyVectorcall_NARGS(nargsf) == 0) {
        return NULL;
    }
    PyObject *known = PyDict_GetItemWithError(made->recorder, args[0]);
    if (known == NULL) {
        PyErr_Clear();
    }
    return known != NULL && PyDict_CheckExact(known) ? known : NULL;
}

static PyObject *
live_receivers_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    PyObject *live = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    PyObject *known = live == NULL ? NULL : known_of(made, args, nargsf);
    Marks *marks = known == NULL ? NULL : current_marks(made->variable);
    if (marks == NULL) {
        return live;
    }
    PyObject *scopes = traced(marks, known, live);
    if (scopes == NULL) {
        scopes = PyObject_CallFunctionObjArgs(made->other, (PyObject *)marks, live, NULL);
        if (scopes == NULL) {
            PyErr_Clear();
            scopes = Py_NewRef(live);
        }
    }
    Py_DECREF(marks);
    Py_DECREF(live);
    return scopes;
}

/* live_receivers(wrapped, variable, signals, other): `signals` has for each that is a request's the owners of
   its receivers by their codes' addresses; `other(timeline, live)` gives what wraps those
   that aren't among them. */
PyObject *
native_live_receivers(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *signals, *other;
    if (!PyArg_ParseTuple(args, "OOO!O", &wrapped, &variable, &PyDict_Type, &signals, &other)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(live_receivers_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->recorder = Py_NewRef(signals);
        made->other = Py_NewRef(other);
    }
    return (PyObject *)made;
}
