#include "native.h"

/* asyncio's `Handle._run`, which is to enter the handle's context and call its callback. Only that is
   done here; what becomes of an exception is the original's business. */

/* The context of a handle whose callback has failed, while the original runs: it fails again. */
typedef struct {
    PyObject_HEAD
    PyObject *handle;
    PyObject *context;
    PyObject *type;
    PyObject *value;
    PyObject *trace;
    Py_ssize_t context_at;
} Failed;

static void
give_back(Failed *failed)
{
    PyObject **slot = slot_of(failed->handle, failed->context_at);
    if (*slot == (PyObject *)failed) {
        *slot = Py_NewRef(failed->context);
        Py_DECREF(failed);
    }
}

static PyObject *
failed_run(PyObject *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count))
{
    Failed *failed = (Failed *)self;
    PyErr_Restore(failed->type, failed->value, failed->trace);
    failed->type = failed->value = failed->trace = NULL;
    give_back(failed);
    return NULL;
}

static void
failed_dealloc(PyObject *self)
{
    Failed *failed = (Failed *)self;
    Py_XDECREF(failed->handle);
    Py_XDECREF(failed->context);
    Py_XDECREF(failed->type);
    Py_XDECREF(failed->value);
    Py_XDECREF(failed->trace);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef failed_methods[] = {
    {"run", (PyCFunction)(void (*)(void))failed_run, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject Failed_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Failed",
    .tp_basicsize = sizeof(Failed),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = failed_dealloc,
    .tp_methods = failed_methods,
};

/* Have the original meet the exception that is set, as if it had made the call itself. */
static PyObject *
fail_again(Wrapper *turn, PyObject *handle, PyObject *context)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    Failed *failed = (Failed *)Failed_Type.tp_alloc(&Failed_Type, 0);
    if (failed == NULL) {
        PyErr_Restore(type, value, trace);
        return NULL;
    }
    failed->handle = Py_NewRef(handle);
    failed->context = Py_NewRef(context);
    failed->context_at = turn->context_at;
    failed->type = type;
    failed->value = value;
    failed->trace = trace;
    Py_XSETREF(*slot_of(handle, turn->context_at), Py_NewRef(failed));
    PyObject *result = PyObject_CallOneArg(turn->wrapped, handle);
    give_back(failed);
    Py_DECREF(failed);
    return result;
}

static bool
ends_the_loop(void)
{
    return PyErr_ExceptionMatches(PyExc_SystemExit) ||
           PyErr_ExceptionMatches(PyExc_KeyboardInterrupt);
}

/* Run it in its context; `timeline` is then a new reference to what that has for the variable, None
   for nothing, or NULL where that isn't known, as after a turn that was too short to matter. */
PyObject *
run_handle(Wrapper *turn, PyObject *handle, PyObject *callback, int64_t start, PyObject **timeline)
{
    PyObject *context = *slot_of(handle, turn->context_at), *args = *slot_of(handle, turn->args_at);
    if (context == NULL || !PyContext_CheckExact(context) || args == NULL ||
        !PyTuple_CheckExact(args)) {
        return PyObject_CallOneArg(turn->wrapped, handle);
    }
    Py_INCREF(context);
    Py_INCREF(args);
    PyObject *result = NULL;
    bool entered = PyContext_Enter(context) == 0;
    if (entered) {
        result = PyObject_Call(callback, args, NULL);
        if (result != NULL && now_ns() - start > turn->number &&
            PyContextVar_Get(turn->variable, Py_None, timeline) < 0) {
            PyErr_Clear();
        }
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(result);
        }
    }
    if (result != NULL) {
        Py_SETREF(result, Py_NewRef(Py_None));
    }
    else if (!entered || !ends_the_loop()) {
        result = fail_again(turn, handle, context);
    }
    Py_DECREF(args);
    Py_DECREF(context);
    return result;
}

Py_ssize_t
offset_of(PyObject *type, const char *name)
{
    PyObject *found = PyObject_GetAttrString(type, name);
    Py_ssize_t offset = -1;
    if (found != NULL && Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        offset = ((PyMemberDescrObject *)found)->d_member->offset;
    }
    Py_XDECREF(found);
    PyErr_Clear();
    return offset;
}

bool
handles_known(Wrapper *turn, PyObject *type)
{
    if (!PyType_Check(type)) {
        return false;
    }
    turn->callback_at = (int32_t)offset_of(type, "_callback");
    turn->context_at = (int32_t)offset_of(type, "_context");
    turn->args_at = (int32_t)offset_of(type, "_args");
    return turn->callback_at > 0 && turn->context_at > 0 && turn->args_at > 0;
}

bool
handles_prepare(void)
{
    return PyType_Ready(&Failed_Type) == 0;
}
