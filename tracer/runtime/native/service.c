#include "native.h"
#include "service.h"

/* What a server's wrappers in C have in common. */

static PyObject *touch_name, *headers_name, *nought;

bool
intern_words(const Word *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *words[i].word = PyUnicode_InternFromString(words[i].text);
        if (*words[i].word == NULL) {
            return false;
        }
    }
    return true;
}

long long
number_of(PyObject *number)
{
    long long value = number == NULL ? -1 : PyLong_AsLongLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    return value;
}

int64_t
take_touch(PyObject *touches)
{
    PyObject *touch = optional_attr(touches, touch_name);
    int64_t instant = touch == NULL ? 0 : number_of(touch);
    if (instant > 0 && PyObject_SetAttr(touches, touch_name, nought) < 0) {
        PyErr_Clear();
        instant = 0;
    }
    return instant > 0 ? instant : now_ns();
}

Marks *
service_begun(Service *service, int64_t start, long long connection)
{
    Marks *marks = marks_begun((PyTypeObject *)service->kind);
    if (marks != NULL) {
        marks->start_ns = start;
        marks->sequence = number_of(PyIter_Next(service->sequence));
        marks->server = service->server;
        marks->interface = service->interface;
        marks->connection = connection;
    }
    return marks;
}

void
mark_thread(Marks *marks)
{
    marks_now(marks, OS_THREAD, os_thread());
}

/* Whether a head has any of the headers that are wanted; -1 where that isn't told by a glance. */
static int
has_any(PyObject *headers, PyObject *wanted)
{
    if (headers == NULL || !PyList_CheckExact(headers)) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(headers); i++) {
        PyObject *entry = PyList_GET_ITEM(headers, i);
        int found = PyTuple_Check(entry) && PyTuple_GET_SIZE(entry)
                        ? PySet_Contains(wanted, PyTuple_GET_ITEM(entry, 0))
                        : -1;
        if (found) {
            PyErr_Clear();
            return found;
        }
    }
    return 0;
}

/* Called with a request or a scope: nothing, or what Python reads. */
static PyObject *heading_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);

static bool
is_heading(PyObject *reads)
{
    return Py_IS_TYPE(reads, &Wrapper_Type) && ((Wrapper *)reads)->call == heading_call;
}

static bool
has_none(PyObject *heading, PyObject *head)
{
    PyObject *headers = PyDict_CheckExact(head)
                            ? Py_XNewRef(PyDict_GetItemWithError(head, headers_name))
                            : optional_attr(head, headers_name);
    int any = has_any(headers, ((Wrapper *)heading)->other);
    Py_XDECREF(headers);
    PyErr_Clear();
    return any == 0;
}

bool
service_admits(Service *service, Marks *marks, PyObject *method, PyObject *head)
{
    PyObject *number = method != NULL && PyUnicode_CheckExact(method)
                           ? PyDict_GetItemWithError(service->names, method)
                           : NULL;
    long long known = number == NULL ? -1 : number_of(Py_NewRef(number));
    PyObject *given[] = {service->reads, head};
    PyObject *lent = known <= 0 ? NULL : PyObject_Vectorcall(service->lend, given, 2, NULL);
    PyObject *verdict = lent == NULL ? NULL : ending_admits(service->ending);
    if (verdict == NULL) {
        PyErr_Clear();
        Py_XDECREF(lent);
        return false;
    }
    marks->method = known;
    Py_XSETREF(marks->read_headers, lent);
    Py_XSETREF(marks->verdict, Py_NewRef(verdict));
    marks->callerless = is_heading(service->reads) && has_none(service->reads, head);
    return true;
}

bool
is_same(PyObject *one, PyObject *other)
{
    int same = one == NULL || other == NULL ? 0 : PyObject_RichCompareBool(one, other, Py_EQ);
    if (same < 0) {
        PyErr_Clear();
    }
    return same == 1;
}

bool
service_knows(Service *service, PyObject *bound, PyObject *scheme, PyObject *version)
{
    return service->known && is_same(bound, service->bound) && is_same(scheme, service->scheme) &&
           is_same(version, service->version);
}

bool
is_true(PyObject *object, PyObject *name)
{
    PyObject *found = optional_attr(object, name);
    int truth = found == NULL ? 0 : PyObject_IsTrue(found);
    Py_XDECREF(found);
    if (truth < 0) {
        PyErr_Clear();
    }
    return truth > 0;
}

PyObject *
service_stand_in(vectorcallfunc call, PyObject *args)
{
    PyObject *variable, *wrapped, *otherwise, *service;
    if (!PyArg_ParseTuple(args, "OOOO!", &variable, &wrapped, &otherwise, &Service_Type,
                          &service)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->recorder = Py_NewRef(otherwise);
        made->other = Py_NewRef(service);
    }
    return (PyObject *)made;
}

static PyObject *
heading_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    PyObject *head = PyVectorcall_NARGS(nargsf) == 1 ? args[0] : Py_None;
    return has_none(self, head) ? PyDict_New()
                                : PyObject_Vectorcall(((Wrapper *)self)->wrapped, args, nargsf, names);
}

/* heading(wrapped, set of names) */
PyObject *
native_heading(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *wanted;
    if (!PyArg_ParseTuple(args, "OO!", &wrapped, &PySet_Type, &wanted)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(heading_call, wrapped);
    if (made != NULL) {
        made->other = Py_NewRef(wanted);
    }
    return (PyObject *)made;
}

/* remember(bound, scheme, version, number): where the last request came in */
static PyObject *
service_remember(PyObject *self, PyObject *args)
{
    Service *service = (Service *)self;
    PyObject *bound, *scheme, *version;
    long long number;
    if (!PyArg_ParseTuple(args, "OOOL", &bound, &scheme, &version, &number)) {
        return NULL;
    }
    Py_XSETREF(service->bound, Py_NewRef(bound));
    Py_XSETREF(service->scheme, Py_NewRef(scheme));
    Py_XSETREF(service->version, Py_NewRef(version));
    service->known = number;
    Py_RETURN_NONE;
}

/* (ending, recorder, kind, sequence, connections, names, lend, reads, interface, complete) */
static PyObject *
service_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names))
{
    Service given = {0};
    if (!PyArg_ParseTuple(args, "O!OO!OOO!OOLL", &Ending_Type, &given.ending, &given.recorder,
                          &PyType_Type, &given.kind, &given.sequence, &given.connections,
                          &PyDict_Type, &given.names, &given.lend, &given.reads, &given.interface,
                          &given.complete)) {
        return NULL;
    }
    if (!PyType_IsSubtype((PyTypeObject *)given.kind, &Marks_Type) ||
        !PyIter_Check(given.sequence) || !PyIter_Check(given.connections)) {
        PyErr_SetString(PyExc_TypeError, "no timelines, or no numbers");
        return NULL;
    }
    Service *service = (Service *)type->tp_alloc(type, 0);
    if (service != NULL) {
        service->ending = Py_NewRef(given.ending);
        service->recorder = Py_NewRef(given.recorder);
        service->kind = Py_NewRef(given.kind);
        service->sequence = Py_NewRef(given.sequence);
        service->connections = Py_NewRef(given.connections);
        service->names = Py_NewRef(given.names);
        service->lend = Py_NewRef(given.lend);
        service->reads = Py_NewRef(given.reads);
        service->interface = given.interface;
        service->complete = given.complete;
    }
    return (PyObject *)service;
}

static int
service_traverse(PyObject *self, visitproc visit, void *arg)
{
    Service *service = (Service *)self;
    Py_VISIT(service->ending);
    Py_VISIT(service->recorder);
    Py_VISIT(service->kind);
    Py_VISIT(service->sequence);
    Py_VISIT(service->connections);
    Py_VISIT(service->names);
    Py_VISIT(service->lend);
    Py_VISIT(service->reads);
    Py_VISIT(service->close);
    Py_VISIT(service->endpoint);
    Py_VISIT(service->bound);
    Py_VISIT(service->scheme);
    Py_VISIT(service->version);
    Py_VISIT(service->loop_type);
    Py_VISIT(service->roots);
    Py_VISIT(service->settle);
    Py_VISIT(service->calling);
    Py_VISIT(service->app);
    Py_VISIT(service->application);
    return 0;
}

/* No more than the last endpoint: what else there is has to be there when it is called. */
static int
service_clear(PyObject *self)
{
    Service *service = (Service *)self;
    service->server = service->known = 0;
    Py_CLEAR(service->bound);
    Py_CLEAR(service->scheme);
    Py_CLEAR(service->version);
    Py_CLEAR(service->loop_type);
    Py_CLEAR(service->roots);
    Py_CLEAR(service->app);
    Py_CLEAR(service->application);
    return 0;
}

static void
service_dealloc(PyObject *self)
{
    Service *service = (Service *)self;
    PyObject_GC_UnTrack(self);
    (void)service_clear(self);
    Py_CLEAR(service->ending);
    Py_CLEAR(service->recorder);
    Py_CLEAR(service->kind);
    Py_CLEAR(service->sequence);
    Py_CLEAR(service->connections);
    Py_CLEAR(service->names);
    Py_CLEAR(service->lend);
    Py_CLEAR(service->reads);
    Py_CLEAR(service->close);
    Py_CLEAR(service->endpoint);
    Py_CLEAR(service->settle);
    Py_CLEAR(service->calling);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef service_methods[] = {
    {"remember", service_remember, METH_VARARGS, "Have the next request's endpoint known."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef service_members[] = {
    {"server", T_LONGLONG, offsetof(Service, server), 0, NULL},
    {"http", T_LONGLONG, offsetof(Service, http), 0, NULL},
    {"loop", T_LONGLONG, offsetof(Service, loop), 0, NULL},
    {"floor_ns", T_LONGLONG, offsetof(Service, floor_ns), 0, NULL},
    {"logs_turns", T_BOOL, offsetof(Service, logs_turns), 0, NULL},
    {"roots", T_OBJECT, offsetof(Service, roots), 0, NULL},
    {"close", T_OBJECT, offsetof(Service, close), 0, NULL},
    {"endpoint", T_OBJECT, offsetof(Service, endpoint), 0, NULL},
    {"settle", T_OBJECT, offsetof(Service, settle), 0, NULL},
    {"calling", T_OBJECT, offsetof(Service, calling), 0, NULL},
    {"loop_type", T_OBJECT, offsetof(Service, loop_type), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject Service_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Service",
    .tp_doc = "What a server's wrappers need; see `tracer.probes.gunicorn`.",
    .tp_basicsize = sizeof(Service),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = service_new,
    .tp_traverse = service_traverse,
    .tp_clear = service_clear,
    .tp_dealloc = service_dealloc,
    .tp_methods = service_methods,
    .tp_members = service_members,
};

bool
service_prepare(void)
{
    touch_name = PyUnicode_InternFromString("touch");
    headers_name = PyUnicode_InternFromString("headers");
    nought = PyLong_FromLong(0);
    return touch_name != NULL && headers_name != NULL && nought != NULL;
}
