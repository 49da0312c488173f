#include "native.h"

/* From the URL to the view: what Django and Django REST framework call once a request. */

static PyObject *route_name;

void
tell_error(PyObject *failed)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    Py_XDECREF(PyObject_CallOneArg(failed, error));
    PyErr_Clear();
    PyErr_Restore(type, error, trace);
}

/* A view: its request is called after it, and an exception that leaves it is noted. */
static PyObject *
view_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *view = (Wrapper *)self;
    Marks *marks = current_marks(view->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(view->wrapped, args, nargsf, names);
    }
    marks->view = view->limit;
    marks_now(marks, ENTER, view->number);
    PyObject *response = PyObject_Vectorcall(view->wrapped, args, nargsf, names);
    if (response == NULL && PyErr_ExceptionMatches(PyExc_Exception)) {
        tell_error(view->other);
    }
    marks_now(marks, EXIT, view->number);
    Py_DECREF(marks);
    return response;
}

/* The number of a match's route: a text that has one already; Python gives it one otherwise. */
static bool
note_route(Marks *marks, PyObject *match, PyObject *numbers)
{
    PyObject *route = optional_attr(match, route_name);
    PyObject *number = route != NULL && PyUnicode_CheckExact(route)
                           ? PyDict_GetItemWithError(numbers, route)
                           : NULL;
    long long known = number == NULL ? 0 : PyLong_AsLongLong(number);
    Py_XDECREF(route);
    PyErr_Clear();
    if (known > 0) {
        marks->route = known;
    }
    return known > 0;
}

static PyObject *
resolve_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *resolving = (Wrapper *)self;
    Marks *marks = current_marks(resolving->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(resolving->wrapped, args, nargsf, names);
    }
    marks_now(marks, ENTER, resolving->number);
    PyObject *match = PyObject_Vectorcall(resolving->wrapped, args, nargsf, names);
    if (match != NULL && !note_route(marks, match, resolving->other)) {
        Py_XDECREF(PyObject_CallFunctionObjArgs(resolving->recorder, marks, match, NULL));
        PyErr_Clear();
    }
    marks_now(marks, EXIT, resolving->number);
    Py_DECREF(marks);
    return match;
}

/* What Django calls as the view: the wrapper for it, where there is one already. */
static PyObject *
choose_view_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *chosen = (Wrapper *)self;
    PyObject *callback = PyObject_Vectorcall(chosen->wrapped, args, nargsf, names);
    Marks *marks = callback == NULL ? NULL : current_marks(chosen->variable);
    if (marks == NULL) {
        return callback;
    }
    Py_DECREF(marks);
    PyObject *view = PyVectorcall_NARGS(nargsf) > 1 ? args[1] : callback;
    PyObject *traced = view == callback ? PyDict_GetItemWithError(chosen->other, view) : NULL;
    PyErr_Clear();
    traced = traced != NULL
                 ? Py_NewRef(traced)
                 : PyObject_CallFunctionObjArgs(chosen->recorder, view, callback, NULL);
    if (traced == NULL) { /* an unhashable or odd view is called as it is */
        PyErr_Clear();
        return callback;
    }
    Py_DECREF(callback);
    return traced;
}

/* What runs right before a view's handler, which begins where this ends without an exception. */
static PyObject *
before_handler_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *before = (Wrapper *)self;
    Marks *marks = current_marks(before->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(before->wrapped, args, nargsf, names);
    }
    marks_now(marks, ENTER, before->number);
    PyObject *result = PyObject_Vectorcall(before->wrapped, args, nargsf, names);
    marks_now(marks, EXIT, before->number);
    if (result != NULL && PyVectorcall_NARGS(nargsf)) {
        if (PyObject_GenericSetAttr(args[0], before->other, Py_True) == 0) {
            marks_now(marks, ENTER, before->limit);
        }
        PyErr_Clear();
    }
    Py_DECREF(marks);
    return result;
}

/* What runs when the handler has returned or raised: the first of them ends it. */
static PyObject *
after_handler_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *after = (Wrapper *)self;
    Marks *marks = current_marks(after->variable);
    if (marks == NULL) {
        return PyObject_Vectorcall(after->wrapped, args, nargsf, names);
    }
    PyObject *handling =
        PyVectorcall_NARGS(nargsf) ? optional_attr(args[0], after->other) : NULL;
    if (handling == Py_True) {
        if (PyObject_GenericSetAttr(args[0], after->other, Py_False) < 0) {
            PyErr_Clear();
        }
        marks_now(marks, EXIT, after->limit);
    }
    Py_XDECREF(handling);
    if (after->recorder != NULL) {
        Py_XDECREF(PyObject_CallNoArgs(after->recorder));
        PyErr_Clear();
    }
    marks_now(marks, ENTER, after->number);
    PyObject *result = PyObject_Vectorcall(after->wrapped, args, nargsf, names);
    marks_now(marks, EXIT, after->number);
    Py_DECREF(marks);
    return result;
}

/* A wrapper with all that these have: (variable, wrapped, number, limit, other, recorder). */
static PyObject *
wrapper_with(vectorcallfunc call, PyObject *args)
{
    PyObject *variable, *wrapped, *other, *recorder = NULL;
    long long number, limit;
    if (!PyArg_ParseTuple(args, "OOLLO|O", &variable, &wrapped, &number, &limit, &other,
                          &recorder)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->number = number;
        made->limit = limit;
        made->other = Py_NewRef(other);
        made->recorder = Py_XNewRef(recorder);
    }
    return (PyObject *)made;
}

/* view(variable, wrapped, owner, name, failed) */
PyObject *
native_view(PyObject *Py_UNUSED(module), PyObject *args)
{
    return wrapper_with(view_call, args);
}

static PyObject *
with_dictionary(PyObject *made)
{
    if (made != NULL && !PyDict_Check(((Wrapper *)made)->other)) {
        Py_DECREF(made);
        PyErr_SetString(PyExc_TypeError, "not a dictionary");
        return NULL;
    }
    return made;
}

/* resolve(variable, wrapped, owner, 0, numbers, note) */
PyObject *
native_resolve(PyObject *Py_UNUSED(module), PyObject *args)
{
    return with_dictionary(wrapper_with(resolve_call, args));
}

/* choose_view(variable, wrapped, 0, 0, traced views, choose) */
PyObject *
native_choose_view(PyObject *Py_UNUSED(module), PyObject *args)
{
    return with_dictionary(wrapper_with(choose_view_call, args));
}

/* before_handler(variable, wrapped, owner, handler, attribute) */
PyObject *
native_before_handler(PyObject *Py_UNUSED(module), PyObject *args)
{
    return wrapper_with(before_handler_call, args);
}

/* after_handler(variable, wrapped, owner, handler, attribute[, note]) */
PyObject *
native_after_handler(PyObject *Py_UNUSED(module), PyObject *args)
{
    return wrapper_with(after_handler_call, args);
}

bool
views_prepare(void)
{
    route_name = PyUnicode_InternFromString("route");
    return route_name != NULL;
}
