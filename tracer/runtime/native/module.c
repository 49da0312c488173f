#include "native.h"

/* An argument's low 64 bits; what is no integer counts as 0, for nothing here may raise. */
static int64_t
integer(PyObject *object)
{
    unsigned long long number = PyLong_AsUnsignedLongLongMask(object);
    if (number == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return (int64_t)number;
}

static PyObject *
native_enter(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && is_marks(args[0])) {
        marks_now((Marks *)args[0], ENTER, integer(args[1]));
    }
    Py_RETURN_NONE;
}

static PyObject *
native_leave(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && is_marks(args[0])) {
        marks_now((Marks *)args[0], EXIT, integer(args[1]));
    }
    Py_RETURN_NONE;
}

static PyObject *
native_mark(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count == 3 && is_marks(args[0])) {
        marks_now((Marks *)args[0], integer(args[1]),
                  integer(args[2]));
    }
    Py_RETURN_NONE;
}

static PyObject *
native_mark_at(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count == 2 && is_marks(args[0]) && PyTuple_Check(args[1]) &&
        PyTuple_GET_SIZE(args[1]) == MARK_INTS) {
        marks_push((Marks *)args[0], integer(PyTuple_GET_ITEM(args[1], 0)),
                   integer(PyTuple_GET_ITEM(args[1], 1)), integer(PyTuple_GET_ITEM(args[1], 2)),
                   integer(PyTuple_GET_ITEM(args[1], 3)));
    }
    Py_RETURN_NONE;
}

static PyObject *
native_sent(PyObject *Py_UNUSED(module), PyObject *timeline)
{
    if (is_marks(timeline)) {
        marks_sent((Marks *)timeline);
    }
    Py_RETURN_NONE;
}

static PyObject *
native_codes(PyObject *Py_UNUSED(module), PyObject *args)
{
    int64_t *const places[] = {&ENTER, &EXIT, &STEP, &YIELD, &DONE, &SUBMIT, &SUBMITTED,
                               &RUN, &RUN_ON, &RAN, &NOTIFIED, &READY, &HOP, &HOP_END, &SENT,
                               &LAST, &DISCONNECT, &OS_THREAD, &QUEUED, &TASK, &READ,
                               &MARK_LIMIT, &HARD_LIMIT};
    Py_ssize_t count = (Py_ssize_t)(sizeof(places) / sizeof(*places));
    if (PyTuple_GET_SIZE(args) != count) {
        return PyErr_Format(PyExc_TypeError, "%zd integers, please", count);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        *places[i] = integer(PyTuple_GET_ITEM(args, i));
    }
    Py_RETURN_NONE;
}

static PyObject *
native_restore_context(PyObject *Py_UNUSED(module), PyObject *args)
{
    return native_wrapper(restore_context_call, args);
}

static PyObject *
native_run_work_item(PyObject *Py_UNUSED(module), PyObject *args)
{
    return native_wrapper(run_work_item_call, args);
}

static PyObject *
native_call_soon_threadsafe(PyObject *Py_UNUSED(module), PyObject *args)
{
    return native_wrapper(call_soon_threadsafe_call, args);
}

static PyObject *
native_call_soon(PyObject *Py_UNUSED(module), PyObject *args)
{
    return native_wrapper(call_soon_call, args);
}

static PyMethodDef native_methods[] = {
    {"enter", (PyCFunction)(void (*)(void))native_enter, METH_FASTCALL, NULL},
    {"leave", (PyCFunction)(void (*)(void))native_leave, METH_FASTCALL, NULL},
    {"mark", (PyCFunction)(void (*)(void))native_mark, METH_FASTCALL, NULL},
    {"mark_at", (PyCFunction)(void (*)(void))native_mark_at, METH_FASTCALL, NULL},
    {"sent", native_sent, METH_O, NULL},
    {"run_handoff", (PyCFunction)(void (*)(void))native_run_handoff, METH_FASTCALL, NULL},
    {"begin_bridge", (PyCFunction)(void (*)(void))native_begin_bridge, METH_FASTCALL, NULL},
    {"run_in_executor", native_run_in_executor, METH_VARARGS, NULL},
    {"sync_to_async", native_sync_to_async, METH_VARARGS, NULL},
    {"handoff_site", (PyCFunction)(void (*)(void))native_handoff_site, METH_FASTCALL, NULL},
    {"scope", native_scope, METH_VARARGS, NULL},
    {"encode_closed", (PyCFunction)(void (*)(void))native_encode_closed, METH_FASTCALL, NULL},
    {"read_scope", native_read_scope, METH_VARARGS, NULL},
    {"live_receivers", native_live_receivers, METH_VARARGS, NULL},
    {"handler_call", native_handler_call, METH_VARARGS, NULL},
    {"noting_errors", native_noting_errors, METH_VARARGS, NULL},
    {"view", native_view, METH_VARARGS, NULL},
    {"resolve", native_resolve, METH_VARARGS, NULL},
    {"choose_view", native_choose_view, METH_VARARGS, NULL},
    {"before_handler", native_before_handler, METH_VARARGS, NULL},
    {"after_handler", native_after_handler, METH_VARARGS, NULL},
    {"async_scope", native_async_scope, METH_VARARGS, NULL},
    {"run_handle", native_run_handle, METH_VARARGS, NULL},
    {"timed_callback", native_timed_callback, METH_VARARGS, NULL},
    {"schedule", native_schedule, METH_VARARGS, NULL},
    {"restore_context", native_restore_context, METH_VARARGS, NULL},
    {"run_work_item", native_run_work_item, METH_VARARGS, NULL},
    {"call_soon_threadsafe", native_call_soon_threadsafe, METH_VARARGS, NULL},
    {"call_soon", native_call_soon, METH_VARARGS, NULL},
    {"codes", native_codes, METH_VARARGS, NULL},
    {"frame_layout", native_frame_layout, METH_VARARGS, NULL},
    {"ring_layout", native_ring_layout, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static bool
register_type(PyObject *module, const char *name, PyTypeObject *type)
{
    return PyType_Ready(type) == 0 &&
           PyModule_AddObjectRef(module, name, (PyObject *)type) == 0;
}

static struct PyModuleDef native_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "tracer.model._native",
    .m_doc = "The hot path in C; `tracer.model.marks` chooses it or says the same in Python.",
    .m_size = -1,
    .m_methods = native_methods,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    PyObject *module = PyModule_Create(&native_module);
    if (module == NULL) {
        return NULL;
    }
    if (process_prepare() && busy_prepare() && handles_prepare() && submit_prepare() &&
        sites_prepare() && coroutines_prepare() && direct_await_prepare() && steps_prepare() &&
        turns_prepare() && hops_prepare() && views_prepare() && wrapper_prepare() &&
        register_type(module, "Marks", &Marks_Type) &&
        register_type(module, "Log", &Log_Type) &&
        register_type(module, "RingMemory", &RingMemory_Type) &&
        register_type(module, "WeakAttribute", &WeakAttribute_Type) &&
        register_type(module, "Waiting", &Waiting_Type) &&
        register_type(module, "Steps", &Steps_Type) &&
        PyModule_AddObjectRef(module, "READS_FRAMES", READS_FRAMES ? Py_True : Py_False) == 0) {
        return module;
    }
    Py_DECREF(module);
    return NULL;
}
