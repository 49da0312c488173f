#include "native.h"

/* The thread's side of a hand-off. What it must remember from one call of asgiref's or of the
   executor's to the next is kept with the thread's state, so it ends with the thread. */

typedef struct {
    PyObject_HEAD
    PyObject *beginning; /* the timeline whose function asgiref is about to call */
    PyObject *notifying; /* the timeline whose result is about to be handed to the loop */
    int64_t code;
    int64_t number;
    int64_t notified;
    int64_t last_ran;
} Here;

static PyObject *here_key;

/* The last one found on this thread, and of which state: a thread may have one after the other. */
static _Thread_local struct {
    Here *at;
    PyThreadState *state;
    uint64_t number;
} last_found;

static void
here_dealloc(PyObject *self)
{
    if (last_found.at == (Here *)self) {
        last_found.at = NULL;
    }
    Py_XDECREF(((Here *)self)->beginning);
    Py_XDECREF(((Here *)self)->notifying);
    Py_TYPE(self)->tp_free(self);
}

PyTypeObject Here_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Here",
    .tp_basicsize = sizeof(Here),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = here_dealloc,
};

static Here *
made_here(PyObject *kept)
{
    Here *made = (Here *)Here_Type.tp_alloc(&Here_Type, 0);
    if (made != NULL) {
        bool held = PyDict_SetItem(kept, here_key, (PyObject *)made) == 0;
        Py_DECREF(made);
        made = held ? made : NULL;
    }
    return made;
}

/* Borrowed; NULL, without an error, where there is none and it can't be made. */
static Here *
here(bool make)
{
    PyThreadState *state = PyThreadState_Get();
    uint64_t number = PyThreadState_GetID(state);
    if (last_found.at != NULL && last_found.state == state && last_found.number == number) {
        return last_found.at;
    }
    PyObject *kept = PyThreadState_GetDict();
    if (kept == NULL) {
        return NULL;
    }
    Here *found = (Here *)PyDict_GetItemWithError(kept, here_key);
    if (found == NULL && make) {
        found = made_here(kept);
    }
    if (found == NULL) {
        PyErr_Clear();
        return NULL;
    }
    last_found.at = found;
    last_found.state = state;
    last_found.number = number;
    return found;
}

static void
mark_run(Here *at, Marks *marks, int64_t hop, int64_t instant)
{
    int64_t thread = this_thread();
    marks_push(marks, RUN, instant, thread, hop);
    marks_push(marks, RUN_ON, at->last_ran, thread, os_thread());
}

static void
log_run(PyObject *recorder, Log *log, Marks *marks, int64_t start, int64_t end, int64_t limit)
{
    if (end - start > limit || !log_busy(log, marks, start, end)) {
        PyObject *noted = PyObject_CallMethod(recorder, "occupy", "LLO", (long long)start,
                                              (long long)end, marks);
        Py_XDECREF(noted);
        PyErr_Clear();
    }
}

static PyObject *
run_entered(Marks *marks, PyObject *function)
{
    if (marks->entered == NULL || marks->entered == Py_None) {
        return PyObject_CallNoArgs(function);
    }
    PyObject *entered = Py_NewRef(marks->entered);
    PyObject *result = PyObject_CallOneArg(entered, function);
    Py_DECREF(entered);
    return result;
}

/* run_handoff(recorder, log, limit, timeline, hop, function): what the executor is given to run. */
PyObject *
native_run_handoff(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 6 || !Py_IS_TYPE(args[1], &Log_Type) || !is_marks(args[3])) {
        PyErr_SetString(PyExc_TypeError, "run_handoff(recorder, log, limit, timeline, hop, function)");
        return NULL;
    }
    Marks *marks = (Marks *)args[3];
    int64_t limit = PyLong_AsLongLong(args[2]), hop = PyLong_AsLongLong(args[4]);
    Here *at = here(true);
    PyErr_Clear();
    if (at == NULL) {
        return PyObject_CallNoArgs(args[5]);
    }
    Py_INCREF(at);
    int64_t start = now_ns();
    Py_CLEAR(at->notifying);
    Py_XSETREF(at->beginning, Py_NewRef(marks));
    at->code = RUN;
    at->number = hop;
    PyObject *result = run_entered(marks, args[5]);
    int64_t end = now_ns();
    PyObject *type = NULL, *value, *trace;
    if (result == NULL) {
        PyErr_Fetch(&type, &value, &trace);
    }
    if (at->beginning != NULL) {
        Py_CLEAR(at->beginning);
        mark_run(at, marks, hop, start);
    }
    marks_push(marks, RAN, end, this_thread(), hop);
    log_run(args[0], (Log *)args[1], marks, start, end, limit);
    Py_XSETREF(at->notifying, Py_NewRef(marks));
    at->notified = hop;
    if (result == NULL) {
        PyErr_Restore(type, value, trace);
    }
    Py_DECREF(at);
    return result;
}

/* begin_bridge(timeline, code, number): what to mark once asgiref has restored the context. */
PyObject *
native_begin_bridge(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    Here *at = count == 3 && is_marks(args[0]) ? here(true) : NULL;
    if (at != NULL) {
        Py_XSETREF(at->beginning, Py_NewRef(args[0]));
        at->code = PyLong_AsLongLong(args[1]);
        at->number = PyLong_AsLongLong(args[2]);
    }
    PyErr_Clear();
    Py_RETURN_NONE;
}

/* asgiref's `_restore_context`: its last act before it calls what was handed over. */
PyObject *
restore_context_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    PyObject *result = PyObject_Vectorcall(((Wrapper *)self)->wrapped, args, nargsf, names);
    Here *at = result == NULL ? NULL : here(false);
    if (at != NULL && at->beginning != NULL) {
        Marks *marks = (Marks *)at->beginning;
        at->beginning = NULL;
        if (at->code == RUN) {
            mark_run(at, marks, at->number, now_ns());
        }
        else {
            marks_now(marks, at->code, at->number);
        }
        Py_DECREF(marks);
    }
    return result;
}

/* An executor's `_WorkItem.run`: after it the thread is free. */
PyObject *
run_work_item_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    PyObject *result = PyObject_Vectorcall(((Wrapper *)self)->wrapped, args, nargsf, names);
    PyObject *type = NULL, *value, *trace;
    if (result == NULL) {
        PyErr_Fetch(&type, &value, &trace);
    }
    Here *at = here(true);
    if (at != NULL) {
        at->last_ran = now_ns();
    }
    if (result == NULL) {
        PyErr_Restore(type, value, trace);
    }
    return result;
}

/* The context a handle would copy by itself, and in it whose hand-off it is. */
static PyObject *
context_of(PyObject *variable, PyObject *timeline)
{
    PyObject *context = PyContext_CopyCurrent();
    if (context == NULL || PyContext_Enter(context) < 0) {
        Py_XDECREF(context);
        return NULL;
    }
    PyObject *token = PyContextVar_Set(variable, timeline);
    Py_XDECREF(token);
    if (PyContext_Exit(context) < 0 || token == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    return context;
}

/* The same for a request while it lasts, for the first loop that asks: its handles enter it one
   after the other, and those of two loops would meet in it. */
static PyObject *
context_for(PyObject *variable, Marks *marks, PyObject *loop)
{
    if (marks->context != NULL && marks->of_loop == loop) {
        return Py_NewRef(marks->context);
    }
    PyObject *context = context_of(variable, (PyObject *)marks);
    if (context != NULL && marks->context == NULL && !marks->closed) {
        marks->context = Py_NewRef(context);
        marks->of_loop = loop;
    }
    return context;
}

static PyObject *context_names;

/* `loop.call_soon_threadsafe`: a hand-off's result goes back. All else is for `other`. */
PyObject *
call_soon_threadsafe_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *poke = (Wrapper *)self;
    Here *at = here(false);
    if (at == NULL || at->notifying == NULL) {
        Marks *current = current_marks(poke->variable);
        PyObject *called = current == NULL ? poke->wrapped : poke->other;
        Py_XDECREF(current);
        return PyObject_Vectorcall(called, args, nargsf, names);
    }
    Marks *marks = (Marks *)at->notifying;
    at->notifying = NULL;
    int64_t hop = at->notified;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    PyObject *context = NULL, *result = NULL, *given[8];
    bool plain = names == NULL || PyTuple_GET_SIZE(names) == 0;
    if (plain && count && count < 8) {
        context = context_for(poke->variable, marks, args[0]);
        if (context == NULL) {
            PyErr_Clear();
        }
    }
    if (context != NULL) {
        memcpy(given, args, (size_t)count * sizeof(PyObject *));
        given[count] = context;
        result = PyObject_Vectorcall(poke->wrapped, given, (size_t)count, context_names);
        Py_DECREF(context);
    }
    else {
        result = PyObject_Vectorcall(poke->wrapped, args, nargsf, names);
    }
    marks_now(marks, NOTIFIED, hop);
    Py_DECREF(marks);
    return result;
}

bool
hops_prepare(void)
{
    here_key = PyUnicode_InternFromString("tracer.model._native.here");
    context_names = Py_BuildValue("(s)", "context");
    return here_key != NULL && context_names != NULL && PyType_Ready(&Here_Type) == 0;
}
