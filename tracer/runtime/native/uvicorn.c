#include "native.h"
#include "service.h"

/* uvicorn: what `tracer/probes/uvicorn.py` says in Python, for requests of which nothing has to be
   found out. Any other goes there. */

static PyObject *touches_name, *number_name, *touch_name, *opened_name, *self_name, *loop_name;
static PyObject *cycle_name, *scope_name, *on_response_name, *started_name, *complete_name;
static PyObject *method_key, *timeline_key, *status_key, *scheme_key, *server_key, *version_key;

/* The last byte was handed to the transport. */
static PyObject *
last_byte_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *last = (Wrapper *)self;
    Marks *marks = (Marks *)last->timeline;
    if (marks != NULL) {
        marks->last_ns = now_ns();
        marks_push(marks, LAST, marks->last_ns, this_thread(), 0);
    }
    return PyObject_Vectorcall(last->wrapped, args, nargsf, names);
}

/* False, with an error, where the cycle can't be told of its timeline. */
static bool
is_told(Marks *marks, PyObject *cycle, PyObject *on_response, PyObject *scope, PyObject *touches)
{
    Wrapper *last = (Wrapper *)wrapper_new(last_byte_call, on_response);
    if (last == NULL) {
        return false;
    }
    last->timeline = Py_NewRef((PyObject *)marks);
    bool told = PyObject_SetAttr(cycle, on_response_name, (PyObject *)last) == 0 &&
                PyObject_SetAttr(touches, opened_name, (PyObject *)marks) == 0 &&
                PyDict_SetItem(scope, timeline_key, (PyObject *)marks) == 0;
    Py_DECREF(last);
    return told;
}

/* A new timeline, or NULL, without an error, where Python has to see to it. */
static Marks *
opened(Service *service, PyObject *cycle)
{
    PyObject *on_response = optional_attr(cycle, on_response_name);
    PyObject *protocol = on_response == NULL ? NULL : optional_attr(on_response, self_name);
    PyObject *touches = protocol == NULL ? NULL : optional_attr(protocol, touches_name);
    PyObject *loop = touches == NULL ? NULL : optional_attr(protocol, loop_name);
    PyObject *scope = loop == NULL ? NULL : optional_attr(cycle, scope_name);
    Marks *marks = NULL;
    if (scope != NULL && PyDict_CheckExact(scope) && (PyObject *)Py_TYPE(loop) == service->loop_type) {
        marks = service_begun(service, 0, number_of(optional_attr(touches, number_name)));
    }
    if (marks != NULL) {
        PyObject *method = PyDict_GetItemWithError(scope, method_key);
        marks->http = service->http;
        marks->loop = service->loop;
        if (!service_admits(service, marks, method, scope)) {
            Py_CLEAR(marks);
        }
    }
    if (marks != NULL) {
        marks->start_ns = take_touch(touches);
        mark_thread(marks);
        if (!is_told(marks, cycle, on_response, scope, touches)) {
            Py_CLEAR(marks);
        }
    }
    PyErr_Clear();
    Py_XDECREF(scope);
    Py_XDECREF(loop);
    Py_XDECREF(touches);
    Py_XDECREF(protocol);
    Py_XDECREF(on_response);
    return marks;
}

/* What is called instead of the application: a server has one, and gives it with each request. */
static PyObject *
application_of(Service *service, PyObject *app)
{
    if (app != service->app || service->application == NULL) {
        PyObject *made = PyObject_CallOneArg(service->calling, app);
        if (made == NULL) {
            return NULL;
        }
        Py_XSETREF(service->app, Py_NewRef(app));
        Py_XSETREF(service->application, made);
    }
    return Py_NewRef(service->application);
}

/* The server calls the application: here a timeline opens. */
static PyObject *
running_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Service *service = (Service *)made->other;
    bool plain = names == NULL && PyVectorcall_NARGS(nargsf) == 2 && service->server &&
                 service->roots != NULL && ending_is_armed(service->ending);
    Marks *marks = plain ? opened(service, args[0]) : NULL;
    if (marks == NULL) {
        return PyObject_Vectorcall(made->recorder, args, nargsf, names);
    }
    PyObject *application = application_of(service, args[1]);
    PyObject *coroutine = NULL;
    if (application != NULL) {
        PyObject *given[] = {args[0], application};
        coroutine = PyObject_Vectorcall(made->wrapped, given, 2, NULL);
        Py_DECREF(application);
    }
    PyObject *root = root_made(service->roots, marks, coroutine, service->settle, args[0]);
    Py_DECREF(marks);
    return root;
}

/* What only the server knows at the end; `(timeline, cycle)`. */
static PyObject *
settling_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Service *service = (Service *)made->other;
    Marks *marks = PyVectorcall_NARGS(nargsf) == 2 && is_marks(args[0]) ? (Marks *)args[0] : NULL;
    PyObject *scope = marks == NULL ? NULL : optional_attr(args[1], scope_name);
    bool as_usual = scope != NULL && PyDict_CheckExact(scope) &&
                    service_knows(service, PyDict_GetItemWithError(scope, server_key),
                                  PyDict_GetItemWithError(scope, scheme_key),
                                  PyDict_GetItemWithError(scope, version_key)) &&
                    is_true(args[1], complete_name) && is_true(args[1], started_name);
    Py_XDECREF(scope);
    PyErr_Clear();
    if (!as_usual) {
        return PyObject_Vectorcall(made->recorder, args, nargsf, names);
    }
    marks->endpoint = service->known;
    if (!marks->outcome) {
        marks->outcome = service->complete;
    }
    Py_RETURN_NONE;
}

/* Whether the protocol is between two requests: what it reads now is the next one's first byte. */
static bool
is_between(PyObject *protocol)
{
    PyObject *cycle = optional_attr(protocol, cycle_name);
    bool between = cycle != NULL && (cycle == Py_None || is_true(cycle, complete_name));
    Py_XDECREF(cycle);
    return between;
}

static void
note_touch(PyObject *protocol, PyObject *touches, int64_t start)
{
    if (number_of(optional_attr(touches, touch_name)) == 0 && is_between(protocol)) {
        PyObject *instant = PyLong_FromLongLong(start);
        if (instant == NULL || PyObject_SetAttr(touches, touch_name, instant) < 0) {
            PyErr_Clear();
        }
        Py_XDECREF(instant);
    }
}

/* What was read was a request, which has a timeline by now, or a part of one. Where the loop's turns
   are logged, that was this one; else what it took is logged here. */
static void
note_read(Service *service, PyObject *touches, int64_t start, int64_t end)
{
    Log *log = ending_busy(service->ending);
    PyObject *timeline = optional_attr(touches, opened_name);
    int64_t sequence = 0;
    if (is_marks(timeline)) {
        if (PyObject_SetAttr(touches, opened_name, Py_None) < 0) {
            PyErr_Clear();
        }
        marks_push((Marks *)timeline, READ, end, this_thread(), 0);
        if (service->logs_turns) {
            Py_XSETREF(log->opened, timeline);
            return;
        }
        sequence = ((Marks *)timeline)->sequence;
    }
    if (end - start > service->floor_ns && log->column.used < BUSY_BATCH * BUSY_INTS) {
        int64_t entry[BUSY_INTS] = {start, end, this_thread(), sequence, log->reading};
        (void)column_add(&log->column, entry, BUSY_INTS);
    }
    Py_XDECREF(timeline);
}

/* The server's first touch: the loop has read bytes of a request. */
static PyObject *
received_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Service *service = (Service *)made->other;
    bool plain = names == NULL && PyVectorcall_NARGS(nargsf) == 2 && service->server &&
                 ending_is_armed(service->ending);
    PyObject *touches = plain ? optional_attr(args[0], touches_name) : NULL;
    if (touches == NULL) {
        return PyObject_Vectorcall(made->recorder, args, nargsf, names);
    }
    int64_t start = now_ns();
    note_touch(args[0], touches, start);
    PyObject *result = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    if (result != NULL) {
        note_read(service, touches, start, now_ns());
    }
    Py_DECREF(touches);
    return result;
}

/* The last status given before the response is started is that of the response. */
static PyObject *
sending_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Wrapper *made = (Wrapper *)self;
    Marks *marks = current_marks(made->variable);
    if (marks != NULL && PyVectorcall_NARGS(nargsf) == 2 && PyDict_Check(args[1]) &&
        !is_true(args[0], started_name)) {
        PyObject *status = PyDict_GetItemWithError(args[1], status_key);
        PyErr_Clear();
        PyObject *given = status != NULL ? Py_NewRef(status) : PyLong_FromLong(0);
        Py_XSETREF(marks->status, given);
    }
    PyObject *call = PyObject_Vectorcall(made->wrapped, args, nargsf, names);
    return with_marks(call, marks, ENTER, EXIT, made->number);
}

PyObject *
native_running(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(running_call, args);
}

PyObject *
native_settling(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(settling_call, args);
}

PyObject *
native_received(PyObject *Py_UNUSED(module), PyObject *args)
{
    return service_stand_in(received_call, args);
}

/* sending(variable, wrapped, owner) */
PyObject *
native_sending(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *variable, *wrapped;
    long long owner;
    if (!PyArg_ParseTuple(args, "OOL", &variable, &wrapped, &owner)) {
        return NULL;
    }
    Wrapper *made = (Wrapper *)wrapper_new(sending_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->number = owner;
    }
    return (PyObject *)made;
}

bool
uvicorn_prepare(void)
{
    static const Word words[] = {
        {&touches_name, "_tracer_touches"}, {&number_name, "number"},
        {&touch_name, "touch"},             {&opened_name, "opened"},
        {&self_name, "__self__"},           {&loop_name, "loop"},
        {&cycle_name, "cycle"},             {&scope_name, "scope"},
        {&on_response_name, "on_response"}, {&started_name, "response_started"},
        {&complete_name, "response_complete"}, {&method_key, "method"},
        {&timeline_key, "tracer.timeline"}, {&status_key, "status"},
        {&scheme_key, "scheme"},            {&server_key, "server"},
        {&version_key, "http_version"},
    };
    return intern_words(words, sizeof words / sizeof *words);
}
