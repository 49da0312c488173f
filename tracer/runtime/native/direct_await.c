#include "native.h"

/* A coroutine that its caller awaits at once is given as it is: its scope begins where it is called
   and ends where it is destroyed, which `await` does as soon as it has ended. Whatever stands between
   a coroutine and who awaits it is gone through again each time that the task goes on, by C instead
   of by the interpreter's loop, and makes an exception of what it returns: with nine around each
   hand-off a quarter of the instructions that tracing added. */

#if READS_FRAMES

enum { PLACES = 256 };

/* What was found out about calls, by the code that makes them and where in it. */
typedef struct {
    PyCodeObject *code;
    int at;
    bool awaited;
} CodeLocation;

static CodeLocation places[PLACES];

static int
get_awaitable(void)
{
    static int opcode = -1;
    if (opcode < 0) {
        PyObject *module = PyImport_ImportModule("opcode");
        PyObject *map = module == NULL ? NULL : PyObject_GetAttrString(module, "opmap");
        PyObject *number = map == NULL ? NULL : PyMapping_GetItemString(map, "GET_AWAITABLE");
        opcode = number == NULL ? 0 : (int)PyLong_AsLong(number);
        Py_XDECREF(number);
        Py_XDECREF(map);
        Py_XDECREF(module);
    }
    return opcode;
}

/* Whether the instruction after the one at a place is `GET_AWAITABLE`: instructions are units of two
   bytes, and those in between that are 0 are an instruction's own cache. */
static bool
awaits_next(PyCodeObject *code, int at)
{
    PyObject *bytes = PyCode_GetCode(code);
    int wanted = bytes == NULL ? 0 : get_awaitable();
    bool awaits = false;
    if (bytes != NULL && wanted > 0 && at >= 0) {
        const unsigned char *units = (const unsigned char *)PyBytes_AS_STRING(bytes);
        Py_ssize_t next = at + 2, size = PyBytes_GET_SIZE(bytes);
        while (next < size && units[next] == 0) {
            next += 2;
        }
        awaits = next < size && units[next] == wanted;
    }
    PyErr_Clear();
    Py_XDECREF(bytes);
    return awaits;
}

static bool
is_of(const CodeLocation *place, PyObject *code, int at)
{
    return (PyObject *)place->code == code && place->at == at;
}

/* Each call may be at either of two places: the one that was found out about last is at the first. */
static CodeLocation *
location_of(PyObject *code, int at)
{
    size_t first = (((uintptr_t)code >> 4) + (uintptr_t)at) % PLACES;
    CodeLocation *place = &places[first], *beside = &places[first ^ 1];
    if (is_of(place, code, at)) {
        return place;
    }
    if (!is_of(beside, code, at)) {
        bool awaited = awaits_next((PyCodeObject *)code, at);
        PyCodeObject *forgotten = beside->code;
        *beside = *place;
        *place = (CodeLocation){(PyCodeObject *)Py_NewRef(code), at, awaited};
        Py_XDECREF(forgotten);
        return place;
    }
    return beside;
}

bool
is_awaited_directly(void)
{
    struct _PyInterpreterFrame *frame = calling_frame();
    PyObject *code = frame == NULL ? NULL : PyUnstable_InterpreterFrame_GetCode(frame);
    bool known = code != NULL && PyCode_Check(code);
    bool awaited = known && location_of(code, PyUnstable_InterpreterFrame_GetLasti(frame))->awaited;
    Py_XDECREF(code);
    return awaited;
}

#else

bool
is_awaited_directly(void)
{
    return false;
}

#endif

/* What a coroutine's end is told to: called by a weak reference, which it keeps until then. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *reference;
    Marks *marks;
    int64_t end;
    int64_t number;
} Ends;

static PyObject *
ends_call(PyObject *self, PyObject *const *Py_UNUSED(args), size_t Py_UNUSED(nargsf),
          PyObject *Py_UNUSED(names))
{
    Ends *ends = (Ends *)self;
    if (ends->marks != NULL) {
        mark_end(ends->marks, ends->end, ends->number);
    }
    Py_CLEAR(ends->marks);
    Py_CLEAR(ends->reference);
    Py_RETURN_NONE;
}

static void
ends_dealloc(PyObject *self)
{
    Py_CLEAR(((Ends *)self)->marks);
    Py_CLEAR(((Ends *)self)->reference);
    Py_TYPE(self)->tp_free(self);
}

static PyTypeObject Ends_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Ends",
    .tp_basicsize = sizeof(Ends),
    .tp_flags =
        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .tp_dealloc = ends_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Ends, call),
};

bool
ends_with(PyObject *coroutine, Marks *marks, int64_t end, int64_t number)
{
    Ends *ends = PyObject_New(Ends, &Ends_Type);
    if (ends == NULL) {
        PyErr_Clear();
        return false;
    }
    ends->call = ends_call;
    ends->marks = NULL;
    ends->end = end;
    ends->number = number;
    ends->reference = PyWeakref_NewRef(coroutine, (PyObject *)ends);
    bool told = ends->reference != NULL;
    if (told) {
        ends->marks = (Marks *)Py_NewRef(marks);
    }
    PyErr_Clear();
    Py_DECREF(ends); /* the weak reference has it */
    return told;
}

bool
direct_await_prepare(void)
{
    return PyType_Ready(&Ends_Type) == 0;
}
