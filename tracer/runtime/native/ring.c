#include "native.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The mapped memory of a worker's ring; call for call what `tracer/ring/memory.py` says. */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* Places and answers of `tracer.ring.layout` and `tracer.ring.memory`; given at import. */
static long long FRAMES, FRAME_SIZE, ALIGN, PAGE, HEAD, SENT_COUNT, WRITTEN, TAIL, WANTED, REQUESTS;
static long long WRAP, TAKEN, DROPPED, UNREAD, LEAVE, NEGLECT_NS, TIMELINE;

typedef struct {
    uint32_t kind;
    const void *content;
    uint64_t length;
} Frame;

/* The mapped memory of a worker's ring. */
typedef struct {
    PyObject_HEAD
    Py_buffer view;
    uint64_t capacity;
    uint64_t lap; /* from here on it may start over */
    uint64_t tail;
    uint64_t head;
    uint64_t sent;
    uint64_t written;
    uint64_t ready; /* up to here its pages were there once */
    int64_t read_ns;
    int descriptor; /* of its file, or -1; the next three are what that was */
    ino_t inode;
    dev_t device;
    blkcnt_t blocks;
    bool guarded;
} RingMemory;

typedef struct {
    uint32_t length;
    uint32_t kind;
    uint64_t number;
} FrameHead;

static inline uint64_t *
word(RingMemory *ring, long long place)
{
    return (uint64_t *)ring->view.buf + place;
}

/* Stores are seen in the order of this code: the head only after what it stands for. */
static inline void
store(RingMemory *ring, long long place, uint64_t value)
{
    __atomic_store_n(word(ring, place), value, __ATOMIC_RELEASE);
}

static bool
is_of(RingMemory *ring, const struct stat *file)
{
    return file->st_ino == ring->inode && file->st_dev == ring->device;
}

/* Whether the file has all that it had: to ask that is a fifth of asking for the pages. Whoever
   closes what isn't theirs may have given the descriptor's number to another file. */
static bool
is_whole(RingMemory *ring)
{
    struct stat file;
    return ring->descriptor >= 0 && fstat(ring->descriptor, &file) == 0 && is_of(ring, &file) &&
           file.st_size >= (off_t)ring->view.len && file.st_blocks >= ring->blocks;
}

/* False, with an error, where the pages can't be there. Gives no GIL away. */
static bool
touch(RingMemory *ring, uint64_t start, uint64_t size)
{
    uint64_t end = start + size;
    if (!ring->guarded || (start >= (uint64_t)FRAMES && end <= ring->ready && is_whole(ring))) {
        return true;
    }
    uint64_t begin = start / (uint64_t)PAGE * (uint64_t)PAGE;
    if (madvise((char *)ring->view.buf + begin, end - begin, MADV_POPULATE_WRITE) == 0) {
        if (start <= ring->ready && end > ring->ready) {
            ring->ready = end;
        }
        return true;
    }
    if (errno == EINVAL) {
        ring->guarded = false;
        return true;
    }
    PyErr_SetFromErrno(PyExc_OSError);
    return false;
}

static void
write_head(RingMemory *ring, uint64_t at, uint32_t length, uint32_t kind, uint64_t number)
{
    FrameHead head = {length, kind, number};
    memcpy((char *)ring->view.buf + at, &head, sizeof head);
}

static inline uint64_t
room_for(const Frame *frame)
{
    uint64_t align = (uint64_t)ALIGN;
    return ((uint64_t)FRAME_SIZE + frame->length + align - 1) / align * align;
}

/* Whether all is read, so that what comes next can go where the cache still knows the memory. */
static bool
starts_over(RingMemory *ring, uint64_t offset, uint64_t size)
{
    return offset >= ring->lap && size <= offset && ring->tail == ring->head;
}

/* See how far the reader is: only where pages were there a moment ago, for this is one of them. */
static void
look(RingMemory *ring)
{
    uint64_t tail = __atomic_load_n(word(ring, TAIL), __ATOMIC_ACQUIRE);
    if (tail != ring->tail) {
        ring->tail = tail;
        ring->read_ns = now_ns();
    }
}

/* Have the pages of all frames there at once, which is half the price; where they go on from the
   beginning each asks for its own. False with an error. */
static bool
touch_all(RingMemory *ring, const Frame *frames, Py_ssize_t count, bool *touched)
{
    uint64_t offset = ring->head % ring->capacity, size = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        size += room_for(&frames[i]);
    }
    *touched = size <= ring->capacity - offset;
    return touch(ring, (uint64_t)FRAMES + offset, *touched ? size : (uint64_t)FRAME_SIZE);
}

/* 1 where the frame was written, 0 where there is no room, -1 with an error. */
static int
append(RingMemory *ring, const Frame *frame, uint64_t number, bool *touched)
{
    uint64_t size = room_for(frame);
    uint64_t offset = ring->head % ring->capacity, to_end = ring->capacity - offset;
    uint64_t first = (uint64_t)FRAMES + offset, start = first, needed = size;
    bool wraps = size > to_end || starts_over(ring, offset, size);
    if (wraps) {
        if (!touch(ring, first, (uint64_t)FRAME_SIZE)) {
            return -1;
        }
        start = (uint64_t)FRAMES;
        needed = to_end + size;
        *touched = false;
    }
    if (!*touched && !touch(ring, start, size < ring->capacity ? size : ring->capacity)) {
        return -1;
    }
    /* A reader's nonsense may make the difference negative: then there is more room, as in Python. */
    if ((int64_t)needed > (int64_t)ring->capacity - (int64_t)(ring->head - ring->tail) ||
        size > ring->capacity / 2) {
        return 0;
    }
    if (wraps) {
        write_head(ring, first, (uint32_t)WRAP, 0, 0);
    }
    char *to = (char *)ring->view.buf + start + FRAME_SIZE;
    memcpy(to, frame->content, frame->length);
    write_head(ring, start, (uint32_t)frame->length, frame->kind, number);
    ring->head += needed;
    ring->written += number > 0;
    return 1;
}

static void
show(RingMemory *ring, const Py_buffer *counts)
{
    memcpy(word(ring, REQUESTS), counts->buf, (size_t)counts->len);
}

/* 1 where all frames were written, 0 where some were not, -1 with an error. */
static int
append_all(RingMemory *ring, const Frame *frames, Py_ssize_t count, bool fits)
{
    bool touched, all = fits;
    if (!touch_all(ring, frames, count, &touched)) {
        return -1;
    }
    look(ring);
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t number = frames[i].kind == (uint32_t)TIMELINE ? ++ring->sent : 0;
        int written = fits ? append(ring, &frames[i], number, &touched) : 0;
        if (written < 0) {
            return -1;
        }
        all = all && written;
    }
    return all;
}

/* Write frames, where that `fits`: an answer of `tracer.ring.memory`, or -1 with an error, when
   nothing was counted. */
static int
write_frames(RingMemory *ring, const Frame *frames, Py_ssize_t count, bool fits,
             const Py_buffer *counts)
{
    uint64_t head = ring->head, sent = ring->sent, before = ring->written;
    int written = append_all(ring, frames, count, fits);
    if (written < 0) {
        ring->head = head;
        ring->sent = sent;
        ring->written = before;
        return -1;
    }
    show(ring, counts);
    store(ring, HEAD, ring->head);
    store(ring, SENT_COUNT, ring->sent);
    store(ring, WRITTEN, ring->written);
    if (*word(ring, WANTED)) {
        return (int)LEAVE;
    }
    if (!written) {
        return (int)DROPPED;
    }
    return (int)(now_ns() - ring->read_ns > NEGLECT_NS ? UNREAD : TAKEN);
}

/* False with an error. */
static bool
read_frame(PyObject *entry, Frame *frame)
{
    if (!PyTuple_Check(entry) || PyTuple_GET_SIZE(entry) != 2 ||
        !PyBytes_Check(PyTuple_GET_ITEM(entry, 1))) {
        PyErr_SetString(PyExc_TypeError, "not a frame and its kind");
        return false;
    }
    PyObject *content = PyTuple_GET_ITEM(entry, 1);
    frame->kind = (uint32_t)PyLong_AsLong(PyTuple_GET_ITEM(entry, 0));
    frame->content = PyBytes_AS_STRING(content);
    frame->length = (uint64_t)PyBytes_GET_SIZE(content);
    return PyErr_Occurred() == NULL;
}

/* put(frames, fits, counts) */
static PyObject *
ring_put(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyList_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "put(frames, fits, counts)");
        return NULL;
    }
    Py_ssize_t several = PyList_GET_SIZE(args[0]);
    Py_buffer counts;
    if (PyObject_GetBuffer(args[2], &counts, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    Frame *frames = PyMem_New(Frame, several + 1);
    int answer = -1;
    if (frames == NULL) {
        PyBuffer_Release(&counts);
        return PyErr_NoMemory();
    }
    Py_ssize_t read = 0;
    while (read < several && read_frame(PyList_GET_ITEM(args[0], read), &frames[read])) {
        read++;
    }
    if (read == several) {
        answer = write_frames((RingMemory *)self, frames, several, args[1] == Py_True, &counts);
    }
    PyMem_Free(frames);
    PyBuffer_Release(&counts);
    return answer < 0 ? NULL : PyLong_FromLong(answer);
}

static PyObject *
ring_show(PyObject *self, PyObject *counts)
{
    Py_buffer view;
    if (PyObject_GetBuffer(counts, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    show((RingMemory *)self, &view);
    PyBuffer_Release(&view);
    Py_RETURN_NONE;
}

static PyObject *
ring_touch(PyObject *self, PyObject *args)
{
    unsigned long long start, size;
    if (!PyArg_ParseTuple(args, "KK", &start, &size) || !touch((RingMemory *)self, start, size)) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Where there is no file, or no descriptor to be had, pages are asked for each time. */
static void
know_file(RingMemory *ring, int descriptor)
{
    struct stat file;
    if (descriptor >= 0 && fstat(descriptor, &file) == 0) {
        ring->inode = file.st_ino;
        ring->device = file.st_dev;
        ring->blocks = file.st_blocks;
        ring->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    }
}

static PyObject *
ring_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names))
{
    PyObject *memory;
    unsigned long long capacity, sent, written, lap;
    int descriptor = -1;
    if (!PyArg_ParseTuple(args, "OKKKK|i", &memory, &capacity, &sent, &written, &lap,
                          &descriptor)) {
        return NULL;
    }
    RingMemory *ring = (RingMemory *)type->tp_alloc(type, 0);
    if (ring == NULL) {
        return NULL;
    }
    ring->descriptor = -1;
    if (PyObject_GetBuffer(memory, &ring->view, PyBUF_WRITABLE) < 0) {
        Py_DECREF(ring);
        return NULL;
    }
    if (!capacity || (uint64_t)ring->view.len < (uint64_t)FRAMES + capacity) {
        PyErr_SetString(PyExc_ValueError, "the memory is smaller than its frames");
        Py_DECREF(ring);
        return NULL;
    }
    ring->capacity = capacity;
    ring->lap = lap;
    ring->sent = sent;
    ring->written = written;
    ring->guarded = true;
    ring->ready = (uint64_t)FRAMES;
    ring->read_ns = now_ns();
    know_file(ring, descriptor);
    return (PyObject *)ring;
}

static void
ring_dealloc(PyObject *self)
{
    RingMemory *ring = (RingMemory *)self;
    struct stat file;
    if (ring->descriptor >= 0 && fstat(ring->descriptor, &file) == 0 && is_of(ring, &file)) {
        (void)close(ring->descriptor);
    }
    PyBuffer_Release(&ring->view);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef ring_methods[] = {
    {"put", (PyCFunction)(void (*)(void))ring_put, METH_FASTCALL, "Write frames; say how it went."},
    {"show", ring_show, METH_O, "Show how many requests there were."},
    {"touch", ring_touch, METH_VARARGS, "Have the pages of a range there."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef ring_members[] = {
    {"head", T_ULONGLONG, offsetof(RingMemory, head), READONLY, NULL},
    {"sent", T_ULONGLONG, offsetof(RingMemory, sent), READONLY, NULL},
    {"written", T_ULONGLONG, offsetof(RingMemory, written), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject RingMemory_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.RingMemory",
    .tp_doc = "A ring's memory; see `tracer.ring.memory.PureRingMemory`.",
    .tp_basicsize = sizeof(RingMemory),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = ring_new,
    .tp_dealloc = ring_dealloc,
    .tp_methods = ring_methods,
    .tp_members = ring_members,
};

PyObject *
native_ring_layout(PyObject *Py_UNUSED(module), PyObject *args)
{
    if (!PyArg_ParseTuple(args, "LLLLLLLLLLLLLLLLL", &FRAMES, &FRAME_SIZE, &ALIGN, &PAGE, &HEAD,
                          &SENT_COUNT, &WRITTEN, &TAIL, &WANTED, &REQUESTS, &WRAP, &TAKEN, &DROPPED,
                          &UNREAD, &LEAVE, &NEGLECT_NS, &TIMELINE)) {
        return NULL;
    }
    if (FRAME_SIZE != (long long)sizeof(FrameHead)) {
        PyErr_SetString(PyExc_ValueError, "a frame's head of another size");
        return NULL;
    }
    Py_RETURN_NONE;
}
