#include "native.h"

/* Where wrappers lie. A request calls some sixty of them, made when the modules of whose functions
   they are were imported. Each by itself would lie among what those modules made: on a page of its
   own, across three lines of the processor's cache. Here they lie side by side, and what a call
   needs of one is in a single line. */

enum { LINE = 64, STRIDE = 3 * LINE, SLOTS = 64 };

/* The garbage collector's own head of an object is before it, in what the slot before leaves. */
enum { HEAD_SIZE = 16 };

_Static_assert(sizeof(Wrapper) + HEAD_SIZE <= STRIDE, "a wrapper doesn't fit its slot");
_Static_assert(offsetof(Wrapper, limit) <= LINE, "what is always needed doesn't fit a line");

/* Slots that nobody has; each begins with the next one. */
static void *free_slots;

static void
add_slots(void)
{
    char *chunk = aligned_alloc(LINE, LINE + SLOTS * STRIDE);
    for (int i = SLOTS - 1; chunk != NULL && i >= 0; i--) {
        void **slot = (void **)(chunk + LINE + i * STRIDE);
        *slot = free_slots;
        free_slots = slot;
    }
}

PyObject *
slot_alloc(PyTypeObject *type, Py_ssize_t Py_UNUSED(items))
{
    if (free_slots == NULL) {
        add_slots();
    }
    void **slot = free_slots;
    if (slot == NULL) {
        return PyErr_NoMemory();
    }
    free_slots = *slot;
    memset((char *)slot - HEAD_SIZE, 0, HEAD_SIZE + sizeof(Wrapper));
    PyObject *made = PyObject_Init((PyObject *)slot, type);
    PyObject_GC_Track(made);
    return made;
}

void
slot_free(void *slot)
{
    *(void **)slot = free_slots;
    free_slots = slot;
}
