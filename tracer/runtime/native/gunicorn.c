#include "native.h"
#include "service.h"

/* gunicorn's WSGI workers: what `tracer/probes/gunicorn.py` and `gunicorn_http.py` say in Python,
   for requests of which nothing has to be found out. Any other goes there. */

static PyObject *touches_name, *number_name, *server_name, *scheme_name, *version_name, *args_name;
static PyObject *close_name, *method_name, *sent_name, *headers_sent_name, *chunked_name;
static PyObject *status_code_name;

/* A new timeline, or NULL, without an error, where Python has to see to it. */
static Marks *
begun(Service *service, PyObject *touches, bool queued)
{
    int64_t start = take_touch(touches);
    PyObject *connection =
        queued ? optional_attr(touches, number_name) : PyIter_Next(service->connections);
    Marks *marks = service_begun(service, start, number_of(connection));
    if (marks != NULL) {
        if (queued) {
            marks_now(marks, QUEUED, 0);
        }
        mark_thread(marks);
        marks_push(marks, STEP, start, this_thread(), 0);
    }
    return marks;
}

static bool
comes_as_the_last(Service *service, Marks *marks, PyObject *bound)
{
    PyObject *lent = optional_attr(marks->read_headers, args_name);
    PyObject *request = lent != NULL && PyTuple_Check(lent) && PyTuple_GET_SIZE(lent)
                            ? PyTuple_GET_ITEM(lent, 0)
                            : NULL;
    PyObject *scheme = request == NULL ? NULL : optional_attr(request, scheme_name);
    PyObject *version = request == NULL ? NULL : optional_attr(request, version_name);
    bool same = service_knows(service, bound, scheme, version);
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

static bool
is_made_current(PyObject *variable, PyObject *timeline)
{
    PyObject *token = PyContextVar_Set(variable, timeline);
    Py_XDECREF(token);
    return token != NULL;
}

/* A worker has a connection to serve a request of. What was current before is set again, which is
   less than to take back what was set. */
static PyObject *
serve(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names, bool queued)
{
    Wrapper *made = (Wrapper *)self;
    Service *service = (Service *)made->other;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf), wanted = queued ? 2 : 4;
    bool plain = names == NULL && count == wanted && service->server &&
                 ending_is_armed(service->ending);
    PyObject *touches = plain ? optional_attr(args[queued], touches_name) : NULL;
    Marks *marks = touches == NULL ? NULL : begun(service, touches, queued);
    PyObject *before = NULL;
    bool current = marks != NULL && PyContextVar_Get(made->variable, Py_None, &before) == 0 &&
                   is_made_current(made->variable, (PyObject *)marks);
    Py_XDECREF(touches);
    if (!current) {
        PyErr_Clear();
        Py_XDECREF(before);
        Py_XDECREF(marks);
        return PyObject_Vectorcall(made->recorder, args, nargsf, names);
    }
    PyObject *result = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (!is_made_current(made->variable, before)) {
        PyErr_Clear();
    }
    marks_now(marks, DONE, 0);
    ended(service, marks, args[1], queued);
    PyErr_Restore(type, error, trace);
    Py_DECREF(before);
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

static bool
is_admitted(Service *service, Marks *marks, PyObject *request)
{
    PyObject *method = optional_attr(request, method_name);
    bool admitted = service_admits(service, marks, method, request);
    Py_XDECREF(method);
    return admitted;
}

/* The head of a request is known. */
static PyObject *
admitting_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    Marks *marks = names == NULL && count >= 3 ? current_marks(made->variable) : NULL;
    PyObject *call = marks != NULL && is_admitted((Service *)made->other, marks,
                                                  args[count > 3 ? 2 : 1])
                         ? made->wrapped
                         : made->recorder;
    Py_XDECREF(marks);
    return PyObject_Vectorcall(call, args, nargsf, names);
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

/* What of an answer has gone: a call after which it is as before sent nothing. */
typedef struct {
    long long sent;
    int head;
    bool chunked;
} Answer;

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
    Wrapper *made = (Wrapper *)self;
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
    Wrapper *made = (Wrapper *)wrapper_new(answering_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->number = owner;
        made->limit = gone;
    }
    return (PyObject *)made;
}

bool
gunicorn_prepare(void)
{
    static const Word words[] = {
        {&touches_name, "_tracer_touches"}, {&number_name, "number"},
        {&server_name, "server"},           {&scheme_name, "scheme"},
        {&version_name, "version"},         {&args_name, "args"},
        {&close_name, "close"},             {&method_name, "method"},
        {&sent_name, "sent"},               {&headers_sent_name, "headers_sent"},
        {&chunked_name, "chunked"},         {&status_code_name, "status_code"},
    };
    return intern_words(words, sizeof words / sizeof *words);
}
