#include "native.h"

/* How the frame of a timeline begins: `tracer.model.frames` says what each of them is. */
typedef struct __attribute__((packed)) {
    uint64_t sequence;
    int64_t start_ns;
    int64_t finish_ns;
    uint64_t request_id;
    uint64_t trace_high;
    uint64_t trace_low;
    uint64_t parent;
    double weight;
    uint64_t connection;
    int32_t status;
    uint32_t server;
    uint32_t interface;
    uint32_t loop;
    uint32_t http;
    uint32_t method;
    uint32_t route;
    uint32_t view;
    uint32_t outcome;
    uint32_t error_type;
    uint32_t folded;
    uint32_t path_size;
    uint32_t mark_count;
    uint8_t has_parent;
    uint8_t kept;
    uint8_t unused[2];
    uint32_t endpoint;
} Head;

/* The frame of a timeline: call for call what `tracer.model.frames.encode_timeline` says in Python. */

/* The low and the high half of an id of 128 bits. False with an error. */
static bool
halves(PyObject *number, uint64_t *low, uint64_t *high)
{
    static PyObject *bits;
    if (bits == NULL && (bits = PyLong_FromLong(64)) == NULL) {
        return false;
    }
    PyObject *upper = PyNumber_Rshift(number, bits);
    if (upper == NULL) {
        return false;
    }
    *low = PyLong_AsUnsignedLongLongMask(number);
    *high = PyLong_AsUnsignedLongLongMask(upper);
    Py_DECREF(upper);
    return PyErr_Occurred() == NULL;
}

/* False with an error: anything may have been given for a status. */
static bool
read_status(PyObject *given, int32_t *status)
{
    long number = given != NULL ? PyLong_AsLong(given) : 0;
    *status = (int32_t)number;
    if (number != *status) {
        PyErr_SetString(PyExc_OverflowError, "no status has that many digits");
    }
    return PyErr_Occurred() == NULL;
}

/* All but ids and path of a finished timeline. False with an error. */
static bool
frame_head(Marks *marks, int64_t finish_ns, Head *head)
{
    int32_t status;
    if (!read_status(marks->status, &status)) {
        return false;
    }
    *head = (Head){.status = status};
    if (marks->folded && marks->last_ns) {
        int64_t last[MARK_INTS] = {LAST, marks->last_ns, this_thread(), 0};
        (void)column_push(&marks->column, last, MARK_INTS);
    }
    head->sequence = (uint64_t)marks->sequence;
    head->start_ns = marks->start_ns;
    head->finish_ns = finish_ns;
    head->weight = marks->weight;
    head->connection = (uint64_t)marks->connection;
    head->server = (uint32_t)marks->server;
    head->interface = (uint32_t)marks->interface;
    head->loop = (uint32_t)marks->loop;
    head->http = (uint32_t)marks->http;
    head->method = (uint32_t)marks->method;
    head->route = (uint32_t)marks->route;
    head->view = (uint32_t)marks->view;
    head->outcome = (uint32_t)marks->outcome;
    head->error_type = (uint32_t)marks->error_type;
    head->folded = (uint32_t)marks->folded;
    head->mark_count = (uint32_t)(marks->column.used / MARK_INTS);
    head->kept = (uint8_t)marks->kept;
    head->endpoint = (uint32_t)marks->endpoint;
    return true;
}

/* A path as bytes, whatever it holds, or NULL where there is none; NULL with an error, too. */
static PyObject *
path_of(const Marks *marks)
{
    if (marks->path == NULL || marks->path == Py_None) {
        return NULL;
    }
    return PyUnicode_AsEncodedString(marks->path, "utf-8", "replace");
}

static bool
read_ids(PyObject *ids, Head *head)
{
    PyObject *parent = PyTuple_GET_ITEM(ids, 2);
    head->request_id = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(ids, 0));
    uint64_t low, high;
    if (PyErr_Occurred() || !halves(PyTuple_GET_ITEM(ids, 1), &low, &high)) {
        return false;
    }
    head->trace_low = low;
    head->trace_high = high;
    head->has_parent = parent != Py_None;
    head->parent = head->has_parent ? PyLong_AsUnsignedLongLong(parent) : 0;
    return PyErr_Occurred() == NULL;
}

/* encode_closed(timeline, finish_ns, (request_id, trace_id, parent or None)): its frame; it takes no
   more marks. */
PyObject *
native_encode_closed(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !is_marks(args[0]) || !PyTuple_Check(args[2]) ||
        PyTuple_GET_SIZE(args[2]) != 3) {
        PyErr_SetString(PyExc_TypeError, "encode_closed(timeline, finish_ns, ids)");
        return NULL;
    }
    Marks *marks = (Marks *)args[0];
    Head head;
    PyObject *frame = NULL;
    PyObject *path = path_of(marks);
    int64_t finish_ns = PyErr_Occurred() ? 0 : PyLong_AsLongLong(args[1]);
    if (PyErr_Occurred() || !frame_head(marks, finish_ns, &head) || !read_ids(args[2], &head)) {
        Py_XDECREF(path);
        return NULL;
    }
    Py_ssize_t length = path != NULL ? PyBytes_GET_SIZE(path) : 0, padded = (length + 7) & ~7;
    head.path_size = (uint32_t)padded;
    Py_ssize_t size = marks->column.used * (Py_ssize_t)sizeof(int64_t);
    frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)sizeof head + padded + size);
    if (frame != NULL) {
        char *to = PyBytes_AS_STRING(frame);
        memcpy(to, &head, sizeof head);
        if (padded) {
            memset(to + sizeof head, 0, (size_t)padded);
            memcpy(to + sizeof head, PyBytes_AS_STRING(path), (size_t)length);
        }
        if (size) {
            memcpy(to + sizeof head + padded, marks->column.numbers, (size_t)size);
        }
        Py_DECREF(marks_drop((PyObject *)marks, NULL));
    }
    Py_XDECREF(path);
    return frame;
}

PyObject *
native_frame_layout(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "n", &size)) {
        return NULL;
    }
    if (size != (Py_ssize_t)sizeof(Head)) {
        PyErr_SetString(PyExc_ValueError, "a timeline's head of another size");
        return NULL;
    }
    Py_RETURN_NONE;
}
