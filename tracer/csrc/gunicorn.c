#include "native.h"
#include <sys/syscall.h>
#include <unistd.h>

/* gunicorn's WSGI workers: what `tracer/probes/gunicorn.py` and `gunicorn_http.py` say in Python,
   for requests of which nothing has to be found out. Any other goes there. */

static PyObject *touches_name, *touch_name, *number_name, *server_name, *scheme_name, *version_name;
static PyObject *args_name, *close_name, *method_name, *headers_name;
static PyObject *sent_name, *headers_sent_name, *chunked_name, *status_code_name, *nought;

typedef struct {
    PyObject_HEAD
    PyObject *ending;
    PyObject *recorder;
    PyObject *kind;        /* the type of timelines */
    PyObject *sequence;    /* numbers of requests, and of connections: iterators */
    PyObject *connections;
    PyObject *names;
    PyObject *lend;        /* makes of `reads` and a request what is lent of its head */
    PyObject *reads;
    PyObject *close;       /* (timeline, socket): closes any timeline */
    PyObject *endpoint;    /* (timeline, socket): where any request came in */
    long long server;      /* 0 until Python has found out */
    long long interface;
    long long complete;
    /* Where the last request came in: */
    PyObject *bound;
    PyObject *scheme;
    PyObject *version;
    long long known;
} Service;

static int64_t
take_touch(PyObject *touches)
{
    PyObject *touch = PyObject_GetAttr(touches, touch_name);
    int64_t instant = touch == NULL ? 0 : PyLong_AsLongLong(touch);
    Py_XDECREF(touch);
    if (instant > 0 && PyObject_SetAttr(touches, touch_name, nought) < 0) {
        instant = 0;
    }
    PyErr_Clear();
    return instant > 0 ? instant : now_ns();
}

static long long
number_of(PyObject *number)
{
    long long value = number == NULL ? -1 : PyLong_AsLongLong(number);
    Py_XDECREF(number);
    PyErr_Clear();
    return value;
}

/* A new timeline, or NULL, without an error, where Python has to see to it. */
static Marks *
begun(Service *service, PyObject *touches, bool queued)
{
    int64_t start = take_touch(touches);
    Marks *marks = marks_begun((PyTypeObject *)service->kind);
    if (marks == NULL) {
        return NULL;
    }
    marks->start_ns = start;
    marks->sequence = number_of(PyIter_Next(service->sequence));
    marks->server = service->server;
    marks->interface = service->interface;
    marks->connection = number_of(queued ? PyObject_GetAttr(touches, number_name)
                                         : PyIter_Next(service->connections));
    int64_t thread = this_thread();
    if (queued) {
        marks_push(marks, QUEUED, now_ns(), thread, 0);
    }
    marks_push(marks, OS_THREAD, now_ns(), thread, (int64_t)syscall(SYS_gettid));
    marks_push(marks, STEP, start, thread, 0);
    return marks;
}

static bool
is_same(PyObject *one, PyObject *other)
{
    int same = one == NULL || other == NULL ? 0 : PyObject_RichCompareBool(one, other, Py_EQ);
    PyErr_Clear();
    return same == 1;
}

static bool
comes_as_the_last(Service *service, Marks *marks, PyObject *bound)
{
    if (!service->known || !is_same(bound, service->bound)) {
        return false;
    }
    PyObject *lent = optional_attr(marks->read_headers, args_name);
    PyObject *request = lent != NULL && PyTuple_Check(lent) && PyTuple_GET_SIZE(lent)
                            ? PyTuple_GET_ITEM(lent, 0)
                            : NULL;
    PyObject *scheme = request == NULL ? NULL : optional_attr(request, scheme_name);
    PyObject *version = request == NULL ? NULL : optional_attr(request, version_name);
    bool same = is_same(scheme, service->scheme) && is_same(version, service->version);
    Py_XDECREF(version);
    Py_XDECREF(scheme);
    Py_XDECREF(lent);
    return same;
}

static void
note_endpoint(Service *service, Marks *marks, PyObject *socket, bool queued)
{
    PyObject *bound = queued ? optional_attr(socket, server_name) : Py_NewRef(socket);
    if (marks->read_headers != NULL && comes_as_the_last(service, marks, bound)) {
        marks->endpoint = service->known;
    }
    else {
        PyObject *number = PyObject_CallFunctionObjArgs(service->endpoint, marks, socket, NULL);
        long long found = number_of(number);
        marks->endpoint = found > 0 ? found : 0;
    }
    Py_XDECREF(bound);
}

static void
ended(Service *service, Marks *marks, PyObject *socket, bool queued)
{
    if (marks->verdict == NULL || marks->verdict != ending_verdict(service->ending)) {
        Py_XDECREF(PyObject_CallFunctionObjArgs(service->close, marks, socket, NULL));
        PyErr_Clear();
        return;
    }
    if (!marks->outcome) {
        marks->outcome = service->complete;
    }
    int64_t start = marks->start_ns, end = now_ns();
    if (!log_busy(ending_busy(service->ending), marks, start, end)) {
        Py_XDECREF(PyObject_CallMethod(service->recorder, "occupy", "LLO", (long long)start,
                                       (long long)end, (PyObject *)marks));
        PyErr_Clear();
    }
    note_endpoint(service, marks, socket, queued);
    Py_XDECREF(PyObject_CallMethodOneArg(service->recorder, close_name, (PyObject *)marks));
    PyErr_Clear();
}

/* A worker has a connection to serve a request of. */
static PyObject *
serve(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names, bool queued)
{
    StandIn *made = (StandIn *)self;
    Service *service = (Service *)made->other;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf), wanted = queued ? 2 : 4;
    bool plain = names == NULL && count == wanted && service->server &&
                 ending_is_armed(service->ending);
    PyObject *touches = plain ? optional_attr(args[queued], touches_name) : NULL;
    Marks *marks = touches == NULL ? NULL : begun(service, touches, queued);
    PyObject *token = marks == NULL ? NULL : PyContextVar_Set(made->variable, (PyObject *)marks);
    Py_XDECREF(touches);
    if (token == NULL) {
        PyErr_Clear();
        Py_XDECREF(marks);
        return PyObject_Vectorcall(made->recorder, args, nargsf, names);
    }
    PyObject *result = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (PyContextVar_Reset(made->variable, token) < 0) {
        PyErr_Clear();
    }
    marks_now(marks, DONE, 0);
    ended(service, marks, args[1], queued);
    PyErr_Restore(type, error, trace);
    Py_DECREF(token);
    Py_DECREF(marks);
    return result;
}

static PyObject *
serving_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    return serve(self, args, nargsf, names, false);
}

static PyObject *
serving_queued_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    return serve(self, args, nargsf, names, true);
}

/* The head of a request is known: it is recorded, like every one. */
static bool
is_admitted(Service *service, Marks *marks, PyObject *request)
{
    PyObject *method = optional_attr(request, method_name);
    PyObject *number = method != NULL && PyUnicode_CheckExact(method)
                           ? PyDict_GetItemWithError(service->names, method)
                           : NULL;
    long long known = number == NULL ? -1 : number_of(Py_NewRef(number));
    Py_XDECREF(method);
    PyErr_Clear();
    PyObject *lent = known <= 0 ? NULL
                                : PyObject_CallFunctionObjArgs(service->lend, service->reads,
                                                               request, NULL);
    PyObject *verdict = lent == NULL ? NULL : ending_admits(service->ending);
    if (verdict == NULL) {
        PyErr_Clear();
        Py_XDECREF(lent);
        return false;
    }
    marks->method = known;
    Py_XSETREF(marks->read_headers, lent);
    Py_XSETREF(marks->verdict, Py_NewRef(verdict));
    return true;
}

static PyObject *
admitting_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *made = (StandIn *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Marks *marks = names == NULL && count >= 3 ? current_marks(made->variable) : NULL;
    PyObject *call = marks != NULL && is_admitted((Service *)made->other, marks,
                                                  args[count > 3 ? 2 : 1])
                         ? made->wrapped
                         : made->recorder;
    Py_XDECREF(marks);
    return PyObject_Vectorcall(call, args, nargsf, names);
}

static PyObject *
service_stand_in(vectorcallfunc call, PyObject *args)
{
    PyObject *variable, *wrapped, *otherwise, *service;
    if (!PyArg_ParseTuple(args, "OOOO!", &variable, &wrapped, &otherwise, &Service_Type,
                          &service)) {
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->recorder = Py_NewRef(otherwise);
        made->other = Py_NewRef(service);
    }
    return (PyObject *)made;
}

/* serving(variable, wrapped, what does it in any case, service) */
PyObject *
native_serving(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(serving_call, args);
}

PyObject *
native_serving_queued(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(serving_queued_call, args);
}

PyObject *
native_admitting(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(admitting_call, args);
}

/* Bytes go to the kernel in here, or none: only those that go can be the last. */
typedef struct {
    long long sent;
    int head;
    bool chunked;
} Answer;

static int
is_true(PyObject *object, PyObject *name)
{
    PyObject *found = optional_attr(object, name);
    int truth = found == NULL ? 0 : PyObject_IsTrue(found);
    Py_XDECREF(found);
    PyErr_Clear();
    return truth > 0;
}

static Answer
answer_of(PyObject *response)
{
    return (Answer){number_of(optional_attr(response, sent_name)),
                    is_true(response, headers_sent_name), is_true(response, chunked_name)};
}

static void
note_status(Marks *marks, PyObject *response)
{
    if (marks->status == NULL || PyObject_Not(marks->status) == 1) {
        PyObject *status = optional_attr(response, status_code_name);
        if (status != NULL && status != Py_None) {
            Py_XSETREF(marks->status, Py_NewRef(status));
        }
        Py_XDECREF(status);
    }
    PyErr_Clear();
}

/* `write(arg)`, or `close()`, which sends something where the head hasn't gone or the body is
   chunked. */
static PyObject *
answering_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *made = (StandIn *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Marks *marks = count ? current_marks(made->variable) : NULL;
    if (marks == NULL) {
        return PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    }
    Answer before = answer_of(args[0]);
    bool closes = count == 1 && names == NULL;
    marks_now(marks, ENTER, made->number);
    PyObject *result = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (type != NULL && PyErr_GivenExceptionMatches(type, PyExc_OSError)) {
        marks_now(marks, DISCONNECT, 0);
        marks->outcome = made->limit;
    }
    marks_now(marks, EXIT, made->number);
    if (!closes || !before.head || before.chunked) {
        Answer after = answer_of(args[0]);
        note_status(marks, args[0]);
        if (before.sent + before.head != after.sent + after.head || (closes && after.chunked)) {
            marks_sent(marks);
        }
    }
    PyErr_Restore(type, error, trace);
    Py_DECREF(marks);
    return result;
}

/* answering(variable, wrapped, owner, outcome of those whose client has gone) */
PyObject *
native_answering(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped;
    long long owner, gone;
    if (!PyArg_ParseTuple(args, "OOLL", &variable, &wrapped, &owner, &gone)) {
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(answering_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->number = owner;
        made->limit = gone;
    }
    return (PyObject *)made;
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
static PyObject *
heading_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *made = (StandIn *)self;
    PyObject *head = PyVectorcall_NARGS(nargsf) == 1 ? args[0] : Py_None;
    PyObject *headers = PyDict_CheckExact(head)
                            ? Py_XNewRef(PyDict_GetItemWithError(head, headers_name))
                            : optional_attr(head, headers_name);
    int any = has_any(headers, made->other);
    Py_XDECREF(headers);
    PyErr_Clear();
    return any == 0 ? PyDict_New() : PyObject_Vectorcall(made->wrapped, args, nargsf, names);
}

/* heading(wrapped, set of names) */
PyObject *
native_heading(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *wanted;
    if (!PyArg_ParseTuple(args, "OO!", &wrapped, &PySet_Type, &wanted)) {
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(heading_call, wrapped);
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

/* (ending, recorder, kind, sequence, connections, names, lend, reads, close, endpoint, interface,
   complete) */
static PyObject *
service_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names))
{
    Service given = {0};
    if (!PyArg_ParseTuple(args, "O!OO!OOO!OOOOLL", &Ending_Type, &given.ending, &given.recorder,
                          &PyType_Type, &given.kind, &given.sequence, &given.connections,
                          &PyDict_Type, &given.names, &given.lend, &given.reads, &given.close,
                          &given.endpoint, &given.interface, &given.complete)) {
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
        service->close = Py_NewRef(given.close);
        service->endpoint = Py_NewRef(given.endpoint);
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
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef service_methods[] = {
    {"remember", service_remember, METH_VARARGS, "Have the next request's endpoint known."},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef service_members[] = {
    {"server", T_LONGLONG, offsetof(Service, server), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

PyTypeObject Service_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer._native.Service",
    .tp_doc = "What serving by gunicorn needs; see `tracer.probes.gunicorn`.",
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
gunicorn_prepare(void)
{
    static const struct {
        PyObject **word;
        const char *text;
    } words[] = {
        {&touches_name, "_tracer_touches"}, {&touch_name, "touch"},
        {&number_name, "number"},           {&server_name, "server"},
        {&scheme_name, "scheme"},           {&version_name, "version"},
        {&args_name, "args"},               {&close_name, "close"},
        {&method_name, "method"},           {&headers_name, "headers"},
        {&sent_name, "sent"},               {&headers_sent_name, "headers_sent"},
        {&chunked_name, "chunked"},         {&status_code_name, "status_code"},
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *words[i].word = PyUnicode_InternFromString(words[i].text);
        if (*words[i].word == NULL) {
            return false;
        }
    }
    nought = PyLong_FromLong(0);
    return nought != NULL;
}
