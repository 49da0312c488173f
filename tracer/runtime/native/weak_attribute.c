#include "native.h"

/* An attribute that objects have without keeping it: put into a class, it knows what each of its
   objects has. An event loop that is given an attribute of its own gets a dictionary for it, and that
   is asked whenever one of its methods is called, some two hundred times a request. */

typedef struct {
    PyObject_HEAD
    PyObject *kept; /* by an object's address: (a weak reference to it, its value) */
    PyObject *last; /* who was asked of, while it lives, and what it has: mostly there is one */
    PyObject *value;
} WeakAttribute;

static PyObject *
apart_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    if (object == NULL || object == Py_None) {
        return Py_NewRef(self);
    }
    WeakAttribute *apart = (WeakAttribute *)self;
    if (object == apart->last) {
        return Py_NewRef(apart->value);
    }
    PyObject *address = PyLong_FromVoidPtr(object);
    PyObject *entry = address == NULL ? NULL : PyDict_GetItemWithError(apart->kept, address);
    Py_XDECREF(address);
    if (entry != NULL) {
        apart->last = object;
        apart->value = PyTuple_GET_ITEM(entry, 1);
        return Py_NewRef(apart->value);
    }
    if (!PyErr_Occurred()) {
        PyErr_SetString(PyExc_AttributeError, "it was given none");
    }
    return NULL;
}

bool
has_weak_attribute(PyObject *object, PyObject *name)
{
    PyObject *kind = _PyType_Lookup(Py_TYPE(object), name);
    if (kind != NULL && Py_IS_TYPE(kind, &WeakAttribute_Type) && ((WeakAttribute *)kind)->last == object) {
        return true;
    }
    PyObject *value = optional_attr(object, name);
    Py_XDECREF(value);
    return value != NULL;
}

/* An object is gone, of which only its weak reference is left. */
static PyObject *
apart_forget(PyObject *self, PyObject *reference)
{
    PyObject *kept = ((WeakAttribute *)self)->kept, *address, *entry;
    Py_ssize_t place = 0;
    ((WeakAttribute *)self)->last = NULL;
    while (PyDict_Next(kept, &place, &address, &entry)) {
        if (PyTuple_GET_ITEM(entry, 0) == reference) {
            Py_INCREF(address);
            int gone = PyDict_DelItem(kept, address);
            Py_DECREF(address);
            return gone < 0 ? NULL : Py_NewRef(Py_None);
        }
    }
    Py_RETURN_NONE;
}

static int
apart_set(PyObject *self, PyObject *object, PyObject *value)
{
    PyObject *kept = ((WeakAttribute *)self)->kept;
    PyObject *address = PyLong_FromVoidPtr(object);
    ((WeakAttribute *)self)->last = NULL;
    if (address == NULL || value == NULL) {
        int gone = address == NULL ? -1 : PyDict_DelItem(kept, address);
        Py_XDECREF(address);
        if (gone < 0 && PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_SetString(PyExc_AttributeError, "it was given none");
        }
        return gone;
    }
    PyObject *forget = PyObject_GetAttrString(self, "forget");
    PyObject *reference = forget == NULL ? NULL : PyWeakref_NewRef(object, forget);
    PyObject *entry = reference == NULL ? NULL : PyTuple_Pack(2, reference, value);
    int set = entry == NULL ? -1 : PyDict_SetItem(kept, address, entry);
    Py_XDECREF(entry);
    Py_XDECREF(reference);
    Py_XDECREF(forget);
    Py_DECREF(address);
    return set;
}

static PyObject *
apart_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(names))
{
    WeakAttribute *apart = (WeakAttribute *)type->tp_alloc(type, 0);
    if (apart != NULL && (apart->kept = PyDict_New()) == NULL) {
        Py_CLEAR(apart);
    }
    return (PyObject *)apart;
}

static int
apart_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((WeakAttribute *)self)->kept);
    return 0;
}

static int
apart_clear(PyObject *self)
{
    ((WeakAttribute *)self)->last = NULL;
    if (((WeakAttribute *)self)->kept != NULL) {
        PyDict_Clear(((WeakAttribute *)self)->kept);
    }
    return 0;
}

static void
apart_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_CLEAR(((WeakAttribute *)self)->kept);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef apart_methods[] = {
    {"forget", apart_forget, METH_O, "An object is gone."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject WeakAttribute_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.WeakAttribute",
    .tp_doc = "An attribute that is kept apart from its objects; see `tracer.runtime.loop_state`.",
    .tp_basicsize = sizeof(WeakAttribute),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = apart_new,
    .tp_traverse = apart_traverse,
    .tp_clear = apart_clear,
    .tp_dealloc = apart_dealloc,
    .tp_descr_get = apart_get,
    .tp_descr_set = apart_set,
    .tp_methods = apart_methods,
};
