#include "native.h"

int64_t ENTER, EXIT, STEP, YIELD, DONE, SUBMIT, SUBMITTED, RUN, RUN_ON, RAN, NOTIFIED, READY;
int64_t HOP, HOP_END, SENT, LAST, DISCONNECT, OS_THREAD, QUEUED, TASK, READ;
int64_t MARK_LIMIT = INT64_MAX, HARD_LIMIT = INT64_MAX;

/* The memory of a request that is over, for the next: it has grown already, and the cache has it. */
static Column spare;

enum { SPARE_ROOM = 8192 };

static bool
column_grow(Column *column, Py_ssize_t wanted)
{
    if (column->numbers == NULL && spare.room >= wanted) {
        column->numbers = spare.numbers;
        column->room = spare.room;
        spare = (Column){NULL, 0, 0};
        return true;
    }
    Py_ssize_t room = column->room ? column->room * 2 : 256;
    int64_t *grown = PyMem_RawRealloc(column->numbers, (size_t)room * sizeof(int64_t));
    if (grown == NULL) {
        return false;
    }
    column->numbers = grown;
    column->room = room;
    return true;
}

bool
column_push(Column *column, const int64_t *numbers, Py_ssize_t count)
{
    if (column->used + count > column->room && !column_grow(column, count)) {
        return false;
    }
    memcpy(column->numbers + column->used, numbers, (size_t)count * sizeof(int64_t));
    column->used += count;
    return true;
}

PyObject *
column_bytes(Column *column)
{
    return PyBytes_FromStringAndSize((const char *)column->numbers,
                                     column->used * (Py_ssize_t)sizeof(int64_t));
}

void
column_free(Column *column)
{
    if (spare.numbers == NULL && column->room <= SPARE_ROOM) {
        spare = (Column){column->numbers, 0, column->numbers != NULL ? column->room : 0};
    }
    else {
        PyMem_RawFree(column->numbers);
    }
    column->numbers = NULL;
    column->used = column->room = 0;
}

static Folded *
fold_of(Marks *marks, int64_t thread)
{
    for (Py_ssize_t i = 0; i < marks->fold_count; i++) {
        if (marks->folds[i].thread == thread) {
            return &marks->folds[i];
        }
    }
    Folded *grown = PyMem_RawRealloc(marks->folds,
                                     (size_t)(marks->fold_count + 1) * sizeof(Folded));
    if (grown == NULL) {
        return NULL;
    }
    marks->folds = grown;
    grown[marks->fold_count] = (Folded){thread, 0};
    return &grown[marks->fold_count++];
}

/* Past the limit a scope's time stays with the scope around it. True: write the mark all the same. */
static bool
over_limit(Marks *marks, int64_t code, int64_t thread)
{
    if (marks->column.used >= HARD_LIMIT * MARK_INTS) {
        marks->folded++;
        return false;
    }
    if (code != ENTER && code != EXIT) {
        return true;
    }
    Folded *fold = fold_of(marks, thread);
    if (fold == NULL) {
        return false;
    }
    if (code == ENTER) {
        fold->depth++;
    }
    else if (fold->depth) {
        fold->depth--;
    }
    else {
        return true;
    }
    marks->folded++;
    return false;
}

static void __attribute__((noinline, cold))
push_slowly(Marks *marks, int64_t code, int64_t instant, int64_t thread, int64_t value)
{
    if (marks->closed) {
        return;
    }
    if (marks->column.used >= MARK_LIMIT * MARK_INTS && !over_limit(marks, code, thread)) {
        return;
    }
    int64_t mark[MARK_INTS] = {code, instant, thread, value};
    if (!column_push(&marks->column, mark, MARK_INTS)) {
        marks->closed = 1;
    }
}

PyTypeObject *marks_kind = &Marks_Type;

bool
is_marks_of_any(PyObject *object)
{
    if (!PyObject_TypeCheck(object, &Marks_Type)) {
        return false;
    }
    Py_INCREF(Py_TYPE(object)); /* for good: nothing else is ever where it is */
    marks_kind = Py_TYPE(object);
    return true;
}

int64_t
now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

Marks *
current_marks(PyObject *variable)
{
    PyObject *found = NULL;
    if (PyContextVar_Get(variable, NULL, &found) < 0) {
        PyErr_Clear();
        return NULL;
    }
    if (is_marks(found)) {
        return (Marks *)found;
    }
    Py_XDECREF(found);
    return NULL;
}

void
marks_push(Marks *marks, int64_t code, int64_t instant, int64_t thread, int64_t value)
{
    Column *column = &marks->column;
    Py_ssize_t used = column->used;
    if (marks->closed || used + MARK_INTS > column->room || used >= MARK_LIMIT * MARK_INTS) {
        push_slowly(marks, code, instant, thread, value);
        return;
    }
    int64_t *mark = column->numbers + used;
    mark[0] = code;
    mark[1] = instant;
    mark[2] = thread;
    mark[3] = value;
    column->used = used + MARK_INTS;
}

void
marks_now(Marks *marks, int64_t code, int64_t value)
{
    marks_push(marks, code, now_ns(), this_thread(), value);
}

void
marks_sent(Marks *marks)
{
    marks->last_ns = now_ns();
    if (marks->column.used < MARK_LIMIT * MARK_INTS) {
        marks_push(marks, SENT, marks->last_ns, this_thread(), 0);
    }
    else {
        marks->folded++;
    }
}

/* Read `count` integers of a tuple; leaves an error where they are none. */
static bool
read_integers(PyObject *entry, int64_t *into, Py_ssize_t count)
{
    if (!PyTuple_Check(entry) || PyTuple_GET_SIZE(entry) != count) {
        PyErr_Format(PyExc_TypeError, "not a tuple of %zd integers", count);
        return false;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PyTuple_GET_ITEM(entry, i);
        long long number = PyLong_AsLongLong(item);
        if (number == -1 && PyErr_Occurred()) {
            PyErr_Clear();
            number = (long long)PyLong_AsUnsignedLongLongMask(item);
            if (PyErr_Occurred()) {
                return false;
            }
        }
        into[i] = number;
    }
    return true;
}

static PyObject *
marks_append(PyObject *self, PyObject *entry)
{
    int64_t mark[MARK_INTS];
    if (!read_integers(entry, mark, MARK_INTS)) {
        return NULL;
    }
    marks_push((Marks *)self, mark[0], mark[1], mark[2], mark[3]);
    Py_RETURN_NONE;
}

static PyObject *
marks_next_id(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return PyLong_FromLongLong(++((Marks *)self)->ids);
}

static PyObject *
marks_packed(PyObject *self, PyObject *Py_UNUSED(unused))
{
    return column_bytes(&((Marks *)self)->column);
}

PyObject *
marks_drop(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Marks *marks = (Marks *)self;
    marks->closed = 1;
    Py_CLEAR(marks->entered);
    Py_CLEAR(marks->context);
    column_free(&marks->column);
    if (marks->children != NULL && PyList_CheckExact(marks->children) &&
        PyList_GET_SIZE(marks->children) &&
        PyList_SetSlice(marks->children, 0, PY_SSIZE_T_MAX, NULL) < 0) {
        PyErr_Clear();
    }
    Py_RETURN_NONE;
}

/* longest(start_ns, end_ns): the owner whose own code ran longest in between on this thread. */
static PyObject *
marks_longest(PyObject *self, PyObject *args)
{
    Column *column = &((Marks *)self)->column;
    long long start, end;
    if (!PyArg_ParseTuple(args, "LL", &start, &end)) {
        return NULL;
    }
    int64_t thread = this_thread(), last = start, best = 0, owner = 0;
    int64_t stack[64];
    Py_ssize_t depth = 0;
    for (Py_ssize_t i = 0; i < column->used; i += MARK_INTS) {
        const int64_t *mark = column->numbers + i;
        if (mark[2] != thread) {
            continue;
        }
        if (mark[1] > start && mark[1] - last > best) {
            best = mark[1] - last;
            owner = depth > 0 && depth <= 64 ? stack[depth - 1] : 0;
        }
        if (mark[0] == ENTER && depth++ < 64) {
            stack[depth - 1] = mark[3];
        }
        else if (mark[0] == EXIT && depth) {
            depth--;
        }
        last = mark[1] > start ? mark[1] : start;
    }
    if (end - last > best) {
        owner = depth > 0 && depth <= 64 ? stack[depth - 1] : 0;
    }
    return PyLong_FromLongLong(owner);
}

static int
marks_traverse(PyObject *self, visitproc visit, void *arg)
{
    Marks *marks = (Marks *)self;
    Py_VISIT(marks->children);
    Py_VISIT(marks->path);
    Py_VISIT(marks->read_headers);
    Py_VISIT(marks->verdict);
    Py_VISIT(marks->status);
    Py_VISIT(marks->entered);
    Py_VISIT(marks->context);
    return 0;
}

static int
marks_clear(PyObject *self)
{
    Marks *marks = (Marks *)self;
    Py_CLEAR(marks->children);
    Py_CLEAR(marks->path);
    Py_CLEAR(marks->read_headers);
    Py_CLEAR(marks->verdict);
    Py_CLEAR(marks->status);
    Py_CLEAR(marks->entered);
    Py_CLEAR(marks->context);
    return 0;
}

static void
marks_dealloc(PyObject *self)
{
    Marks *marks = (Marks *)self;
    PyObject_GC_UnTrack(self);
    (void)marks_clear(self);
    column_free(&marks->column);
    PyMem_RawFree(marks->folds);
    Py_TYPE(self)->tp_free(self);
}

static Py_ssize_t
marks_length(PyObject *self)
{
    return ((Marks *)self)->column.used / MARK_INTS;
}

static Marks *
marks_made(PyTypeObject *type)
{
    Marks *marks = (Marks *)type->tp_alloc(type, 0);
    if (marks != NULL) {
        marks->weight = 1.0;
        marks->children = PyList_New(0);
        marks->status = PyLong_FromLong(0);
        if (marks->children == NULL || marks->status == NULL) {
            Py_CLEAR(marks);
        }
    }
    return marks;
}

/* (sequence, start_ns, server, interface), or nothing */
static PyObject *
marks_new(PyTypeObject *type, PyObject *args, PyObject *names)
{
    if (PyTuple_GET_SIZE(args) > 4 || (names != NULL && PyDict_GET_SIZE(names))) {
        PyErr_SetString(PyExc_TypeError, "a timeline takes (sequence, start_ns, server, interface)");
        return NULL;
    }
    Marks *marks = marks_made(type);
    if (marks == NULL) {
        return NULL;
    }
    long long *const into[] = {&marks->sequence, &marks->start_ns, &marks->server,
                               &marks->interface};
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); i++) {
        *into[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(args, i));
    }
    if (PyErr_Occurred()) {
        Py_CLEAR(marks);
    }
    return (PyObject *)marks;
}

static PyMethodDef marks_methods[] = {
    {"append", marks_append, METH_O, "Take one mark `(code, t_ns, thread, value)`."},
    {"next_id", marks_next_id, METH_NOARGS, "Return a number that none of its hops or tracks has."},
    {"packed", marks_packed, METH_NOARGS, "Return the marks' integers, eight bytes each."},
    {"longest", marks_longest, METH_VARARGS, "Return whose own code ran longest in between."},
    {"drop", marks_drop, METH_NOARGS, "Forget all marks and take no more."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef marks_members[] = {
    {"folded", T_LONGLONG, offsetof(Marks, folded), 0, NULL},
    {"sequence", T_LONGLONG, offsetof(Marks, sequence), 0, NULL},
    {"view", T_LONGLONG, offsetof(Marks, view), 0, NULL},
    {"last_ns", T_LONGLONG, offsetof(Marks, last_ns), 0, NULL},
    {"after", T_LONGLONG, offsetof(Marks, after), 0, NULL},
    {"handing", T_LONGLONG, offsetof(Marks, handing), 0, NULL},
    {"start_ns", T_LONGLONG, offsetof(Marks, start_ns), 0, NULL},
    {"connection", T_LONGLONG, offsetof(Marks, connection), 0, NULL},
    {"server", T_LONGLONG, offsetof(Marks, server), 0, NULL},
    {"interface", T_LONGLONG, offsetof(Marks, interface), 0, NULL},
    {"loop", T_LONGLONG, offsetof(Marks, loop), 0, NULL},
    {"http", T_LONGLONG, offsetof(Marks, http), 0, NULL},
    {"method", T_LONGLONG, offsetof(Marks, method), 0, NULL},
    {"route", T_LONGLONG, offsetof(Marks, route), 0, NULL},
    {"outcome", T_LONGLONG, offsetof(Marks, outcome), 0, NULL},
    {"error_type", T_LONGLONG, offsetof(Marks, error_type), 0, NULL},
    {"kept", T_LONGLONG, offsetof(Marks, kept), 0, NULL},
    {"endpoint", T_LONGLONG, offsetof(Marks, endpoint), 0, NULL},
    {"status", T_OBJECT, offsetof(Marks, status), 0, NULL},
    {"streams", T_LONGLONG, offsetof(Marks, streams), 0, NULL},
    {"children", T_OBJECT, offsetof(Marks, children), 0, NULL},
    {"path", T_OBJECT, offsetof(Marks, path), 0, NULL},
    {"read_headers", T_OBJECT, offsetof(Marks, read_headers), 0, NULL},
    {"verdict", T_OBJECT, offsetof(Marks, verdict), 0, NULL},
    {"weight", T_DOUBLE, offsetof(Marks, weight), 0, NULL},
    {"entered", T_OBJECT, offsetof(Marks, entered), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PySequenceMethods marks_sequence = {.sq_length = marks_length};

PyTypeObject Marks_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Marks",
    .tp_doc = "The marks of one request; see `tracer.model.marks.Marks`.",
    .tp_basicsize = sizeof(Marks),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_new = marks_new,
    .tp_traverse = marks_traverse,
    .tp_clear = marks_clear,
    .tp_dealloc = marks_dealloc,
    .tp_methods = marks_methods,
    .tp_members = marks_members,
    .tp_as_sequence = &marks_sequence,
};

static PyObject *
log_append(PyObject *self, PyObject *entry)
{
    int64_t numbers[BUSY_INTS];
    if (!read_integers(entry, numbers, BUSY_INTS)) {
        return NULL;
    }
    if (!column_push(&((Log *)self)->column, numbers, BUSY_INTS)) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

static PyObject *
log_note(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !is_marks(args[0])) {
        PyErr_SetString(PyExc_TypeError, "note(marks, start_ns, end_ns)");
        return NULL;
    }
    long long start = PyLong_AsLongLong(args[1]), end = PyLong_AsLongLong(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    return PyBool_FromLong(log_busy((Log *)self, (Marks *)args[0], start, end));
}

static PyObject *
log_take(PyObject *self, PyObject *Py_UNUSED(unused))
{
    Column *column = &((Log *)self)->column;
    PyObject *taken = column_bytes(column);
    if (taken != NULL) {
        column->used = 0;
    }
    return taken;
}

static Py_ssize_t
log_length(PyObject *self)
{
    return ((Log *)self)->column.used / BUSY_INTS;
}

static void
log_dealloc(PyObject *self)
{
    column_free(&((Log *)self)->column);
    Py_XDECREF(((Log *)self)->opened);
    Py_XDECREF(((Log *)self)->after);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef log_methods[] = {
    {"append", log_append, METH_O, "Take one entry: five integers."},
    {"note", (PyCFunction)(void (*)(void))log_note, METH_FASTCALL,
     "Log what this thread did for a request."},
    {"take", log_take, METH_NOARGS, "Return all entries' integers, eight bytes each; forget them."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef log_members[] = {
    {"opened", T_OBJECT, offsetof(Log, opened), 0, NULL},
    {"after", T_OBJECT, offsetof(Log, after), 0, NULL},
    {"reading", T_LONGLONG, offsetof(Log, reading), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PySequenceMethods log_sequence = {.sq_length = log_length};

PyTypeObject Log_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Log",
    .tp_doc = "The occupancy log; see `tracer.model.marks.Log`.",
    .tp_basicsize = sizeof(Log),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_dealloc = log_dealloc,
    .tp_methods = log_methods,
    .tp_members = log_members,
    .tp_as_sequence = &log_sequence,
};
