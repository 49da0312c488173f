#include "native.h"

/* The loop's side of a hand-off: who asks for it, and what is handed to the executor. */

static PyObject *func_name, *name_name, *handler;

/* The function of the method that was found to be asgiref's last: of one class there is one. */
static PyObject *known_handler;

/* asgiref hands over a partial of its `thread_handler`, in every release and subclass. */
static bool
is_handler(PyObject *inner)
{
    PyObject *method = PyMethod_Check(inner) ? PyMethod_GET_FUNCTION(inner) : NULL;
    if (method != NULL && method == known_handler) {
        return true;
    }
    PyObject *name = optional_attr(inner, name_name);
    bool found = name != NULL && PyUnicode_Check(name) && PyUnicode_Compare(name, handler) == 0;
    Py_XDECREF(name);
    PyErr_Clear();
    if (found && method != NULL) {
        Py_XSETREF(known_handler, Py_NewRef(method));
    }
    return found;
}

/* `func_at` is where a partial has its function. */
static bool
is_hop(PyObject *partial_type, Py_ssize_t func_at, PyObject *function)
{
    if (!PyObject_TypeCheck(function, (PyTypeObject *)partial_type)) {
        return false;
    }
    PyObject *inner = *slot_of(function, func_at);
    return inner != NULL && is_handler(inner);
}

/* `run_in_executor(loop, executor, function)`: `other` is
   `(functools.partial, name of what a watched loop has, run_hop, recorder, log, limit)`. A loop is
   watched once a traced request has run on it. */
PyObject *
run_in_executor_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *run = (Wrapper *)self;
    Marks *marks = current_marks(run->variable);
    int64_t hop = -1;
    if (marks != NULL && names == NULL && PyVectorcall_NARGS(nargsf) == 3 &&
        is_hop(PyTuple_GET_ITEM(run->other, 0), (Py_ssize_t)run->number, args[2]) &&
        has_weak_attribute(args[0], PyTuple_GET_ITEM(run->other, 1))) {
        hop = ++marks->ids;
    }
    if (hop < 0) {
        Py_XDECREF(marks);
        return PyObject_Vectorcall(run->wrapped, args, nargsf, names);
    }
    PyObject *number = PyLong_FromLongLong(hop), *result = NULL;
    if (number != NULL) {
        PyObject *const *told = &PyTuple_GET_ITEM(run->other, 2);
        PyObject *given[] = {args[0], args[1], told[0], told[1], told[2],
                             told[3], (PyObject *)marks, number, args[2]};
        marks->handing = this_thread();
        marks_now(marks, SUBMIT, hop);
        result = PyObject_Vectorcall(run->wrapped, given, 9, NULL);
        marks_now(marks, SUBMITTED, hop);
    }
    Py_XDECREF(number);
    Py_DECREF(marks);
    return result;
}

/* run_in_executor(run_in_executor, variable, what `other` is) */
PyObject *
native_run_in_executor(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *other;
    if (!PyArg_ParseTuple(args, "OOO!", &wrapped, &variable, &PyTuple_Type, &other)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) != 6 || !PyType_Check(PyTuple_GET_ITEM(other, 0))) {
        PyErr_SetString(PyExc_TypeError,
                        "not (a type, a name, a function, a recorder, its log, a limit)");
        return NULL;
    }
    Py_ssize_t func_at = offset_of(PyTuple_GET_ITEM(other, 0), "func");
    if (func_at < 0) {
        PyErr_SetString(PyExc_TypeError, "a partial of another shape");
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(run_in_executor_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->other = Py_NewRef(other);
        made->number = func_at;
    }
    return (PyObject *)made;
}

/* The number of the site; `other` is `(known, ours, ask)`. No error is left. */
static int64_t
site_number(PyObject *other, PyObject *instance)
{
    PyObject *function = optional_attr(instance, func_name);
    if (function == NULL) {
        return 0;
    }
    int64_t number = site_of(PyTuple_GET_ITEM(other, 0), PyTuple_GET_ITEM(other, 1), function);
    if (number < 0) {
        PyObject *site = PyObject_CallOneArg(PyTuple_GET_ITEM(other, 2), function);
        number = site == NULL ? 0 : PyLong_AsLongLong(site);
        PyErr_Clear();
        Py_XDECREF(site);
    }
    Py_DECREF(function);
    return number < 0 ? 0 : number;
}

/* asgiref's `SyncToAsync.__call__`. */
static PyObject *
sync_to_async_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *ask = (Wrapper *)self;
    Marks *marks = PyVectorcall_NARGS(nargsf) ? current_marks(ask->variable) : NULL;
    int64_t site = marks == NULL ? 0 : site_number(ask->other, args[0]);
    PyObject *call = PyObject_Vectorcall(ask->wrapped, args, nargsf, names);
    return with_marks(call, marks, HOP, HOP_END, site);
}

/* sync_to_async(__call__, variable, (known, ours, ask)) */
PyObject *
native_sync_to_async(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *other;
    if (!PyArg_ParseTuple(args, "OOO!", &wrapped, &variable, &PyTuple_Type, &other)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) != 3 || !PyDict_Check(PyTuple_GET_ITEM(other, 0)) ||
        !PyDict_Check(PyTuple_GET_ITEM(other, 1))) {
        PyErr_SetString(PyExc_TypeError, "not (known, ours, ask)");
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(sync_to_async_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->other = Py_NewRef(other);
    }
    return (PyObject *)made;
}

bool
submit_prepare(void)
{
    func_name = PyUnicode_InternFromString("func");
    name_name = PyUnicode_InternFromString("__name__");
    handler = PyUnicode_InternFromString("thread_handler");
    return func_name && name_name && handler;
}
