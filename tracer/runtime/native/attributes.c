#include "native.h"

/* Attributes of objects that may have none. */

/* What is asked in its stead for an attribute that it hasn't itself: both kinds would make an
   exception of that, which is dear. */
static inline PyObject *
asked_instead(PyObject *object, PyObject *name)
{
    while (object != NULL) {
        PyObject *next = NULL;
        if (PyMethod_Check(object)) {
            next = PyMethod_GET_FUNCTION(object);
        }
        else if (Py_IS_TYPE(object, &Wrapper_Type)) {
            Wrapper *made = (Wrapper *)object;
            bool has = (made->dict != NULL && PyDict_Contains(made->dict, name)) ||
                       (made->name != NULL && name == name_attribute);
            next = has ? NULL : made->wrapped;
        }
        if (next == NULL || _PyType_Lookup(Py_TYPE(object), name) != NULL) {
            break;
        }
        object = next;
    }
    return object;
}

PyObject *
optional_attr(PyObject *object, PyObject *name)
{
    PyObject *found = NULL;
    object = asked_instead(object, name);
#if PY_VERSION_HEX >= 0x030D0000
    int state = PyObject_GetOptionalAttr(object, name, &found);
#else
    int state = _PyObject_LookupAttr(object, name, &found);
#endif
    if (state < 0) {
        PyErr_Clear();
    }
    return found;
}

PyObject *
attr_or_wrapped(PyObject *object, PyObject *name, PyObject *wrapped)
{
    PyObject *found = _PyObject_GenericGetAttrWithDict(object, name, NULL, 1);
    if (found == NULL && !PyErr_Occurred()) {
        found = wrapped != NULL ? PyObject_GetAttr(wrapped, name)
                                : PyObject_GenericGetAttr(object, name);
    }
    return found;
}
