#include "native.h"

/* The loop's side of a hand-off: who asks for it, and what is handed to the executor. */

static PyObject *func_name, *name_name, *handler, *dunder_code;

/* The function of the method that was found to be asgiref's last: of one class there is one. */
static PyObject *known_handler;

/* asgiref hands over a partial of its `thread_handler`, in every release and subclass. */
static bool
is_hop(PyObject *partial_type, PyObject *function)
{
    if (!PyObject_TypeCheck(function, (PyTypeObject *)partial_type)) {
        return false;
    }
    PyObject *inner = PyObject_GetAttr(function, func_name);
    PyObject *method = inner != NULL && PyMethod_Check(inner) ? PyMethod_GET_FUNCTION(inner) : NULL;
    bool found = method != NULL && method == known_handler;
    if (inner != NULL && !found) {
        PyObject *name = PyObject_GetAttr(inner, name_name);
        found = name != NULL && PyUnicode_Check(name) && PyUnicode_Compare(name, handler) == 0;
        Py_XDECREF(name);
        if (found && method != NULL) {
            Py_XSETREF(known_handler, Py_NewRef(method));
        }
    }
    Py_XDECREF(inner);
    PyErr_Clear();
    return found;
}

/* A loop is watched once a traced request has run on it. */
static bool
is_watched(PyObject *loop, PyObject *attribute)
{
    PyObject *kept = optional_attr(loop, attribute);
    Py_XDECREF(kept);
    return kept != NULL;
}

/* `run_in_executor(loop, executor, function)`: `other` is
   `(functools.partial, name of what a watched loop has, run_hop, recorder, log, limit)`. */
PyObject *
executed_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *run = (StandIn *)self;
    Marks *marks = current_marks(run->variable);
    int64_t hop = -1;
    if (marks != NULL && names == NULL && PyVectorcall_NARGS(nargsf) == 3 &&
        is_hop(PyTuple_GET_ITEM(run->other, 0), args[2]) &&
        is_watched(args[0], PyTuple_GET_ITEM(run->other, 1))) {
        hop = ++marks->ids;
    }
    if (hop < 0) {
        Py_XDECREF(marks);
        return PyObject_Vectorcall(run->wrapped, args, nargsf, names);
    }
    PyObject *number = PyLong_FromLongLong(hop), *result = NULL;
    if (number != NULL) {
        PyObject *const *told = &PyTuple_GET_ITEM(run->other, 2);
        PyObject *given[] = {args[0], args[1], told[0], told[1], told[2],
                             told[3], (PyObject *)marks, number, args[2]};
        marks->handing = this_thread();
        marks_now(marks, SUBMIT, hop);
        result = PyObject_Vectorcall(run->wrapped, given, 9, NULL);
        marks_now(marks, SUBMITTED, hop);
    }
    Py_XDECREF(number);
    Py_DECREF(marks);
    return result;
}

/* executed(run_in_executor, variable, what `other` is) */
PyObject *
native_executed(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *other;
    if (!PyArg_ParseTuple(args, "OOO!", &wrapped, &variable, &PyTuple_Type, &other)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) != 6 || !PyType_Check(PyTuple_GET_ITEM(other, 0))) {
        PyErr_SetString(PyExc_TypeError,
                        "not (a type, a name, a function, a recorder, its log, a limit)");
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(executed_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->other = Py_NewRef(other);
    }
    return (PyObject *)made;
}

enum { SITES = 256 };

static inline size_t
place_for(const void *one, const void *other)
{
    uintptr_t mixed = ((uintptr_t)one >> 4) * 31 + ((uintptr_t)other >> 4);
    return (mixed ^ mixed >> 8) % SITES;
}

/* Code that was found to be none of ours: told by its address, which is its own while held here. */
static PyCodeObject *strangers[SITES];

/* Borrowed: True for code of ours, False for others', NULL where nobody has said yet. */
static PyObject *
is_own(PyObject *ours, PyCodeObject *code)
{
    PyCodeObject **place = &strangers[place_for(code, NULL)];
    if (*place == code) {
        return Py_False;
    }
    PyObject *number = PyLong_FromVoidPtr(code);
    PyObject *own = number == NULL ? NULL : PyDict_GetItemWithError(ours, number);
    Py_XDECREF(number);
    if (own == Py_False) {
        Py_XSETREF(*place, (PyCodeObject *)Py_NewRef(code));
    }
    return own;
}

/* A new reference to the code of the nearest frame that is none of ours; NULL where unknown. */
static PyCodeObject *
asker(PyObject *ours)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    while (frame != NULL) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        PyObject *own = is_own(ours, code);
        PyFrameObject *back = own == Py_True ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        if (own == Py_False) {
            return code;
        }
        Py_DECREF(code);
        frame = back;
    }
    return NULL;
}

/* Sites found lately, by the code that asks and what runs there: told by their addresses, which are
   theirs for as long as they are held here. All are of one table, `sites_of`. */
typedef struct {
    PyCodeObject *code;
    PyObject *what;
    PyObject *number;
} Site;

static Site sites[SITES];
static PyObject *sites_of;

static void
keep_site(PyObject *known, PyCodeObject *code, PyObject *what, PyObject *number)
{
    if (known != sites_of) {
        for (int i = 0; i < SITES; i++) {
            Py_CLEAR(sites[i].code);
            Py_CLEAR(sites[i].what);
            Py_CLEAR(sites[i].number);
        }
        Py_XSETREF(sites_of, Py_NewRef(known));
    }
    Site *site = &sites[place_for(code, what)];
    Py_CLEAR(site->code); /* first and last: no one meets half of a site while others go */
    Py_XSETREF(site->what, Py_NewRef(what));
    Py_XSETREF(site->number, Py_NewRef(number));
    Py_XSETREF(site->code, (PyCodeObject *)Py_NewRef(code));
}

/* A new reference, or NULL and no error: what the table has, asked as Python does. */
static PyObject *
looked_up(PyObject *known, PyCodeObject *code, PyObject *what, bool named)
{
    PyObject *ran = named ? Py_NewRef(what) : PyLong_FromVoidPtr(what);
    PyObject *number = PyLong_FromVoidPtr(code);
    PyObject *key = ran == NULL || number == NULL ? NULL : PyTuple_Pack(2, number, ran);
    PyObject *found = key == NULL ? NULL : PyDict_GetItemWithError(known, key);
    Py_XINCREF(found);
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(number);
    Py_XDECREF(ran);
    return found;
}

/* What `tracer.sites` has for a hand-off of a function: a new reference, or NULL and no error. */
PyObject *
known_site(PyObject *known, PyObject *ours, PyObject *function, PyObject *name_attribute)
{
    PyObject *what = optional_attr(function, name_attribute);
    bool named = what != NULL;
    if (!named) {
        what = optional_attr(function, dunder_code);
    }
    PyCodeObject *code = what == NULL ? NULL : asker(ours);
    PyObject *found = NULL;
    if (code != NULL) {
        Site *site = &sites[place_for(code, what)];
        if (known == sites_of && site->code == code && site->what == what) {
            found = Py_NewRef(site->number);
        }
        else if ((found = looked_up(known, code, what, named)) != NULL) {
            keep_site(known, code, what, found);
        }
    }
    Py_XDECREF(code);
    Py_XDECREF(what);
    return found;
}

/* site(known, ours, function, name_attribute): the same, or None. */
PyObject *
native_site(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyDict_Check(args[0]) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "site(known, ours, function, name_attribute)");
        return NULL;
    }
    PyObject *found = known_site(args[0], args[1], args[2], args[3]);
    return found == NULL ? Py_NewRef(Py_None) : found;
}

/* The number of the site; `other` is `(known, ours, name_attribute, ask)`. No error is left. */
static int64_t
site_number(PyObject *other, PyObject *instance)
{
    PyObject *function = optional_attr(instance, func_name), *site = NULL;
    if (function != NULL) {
        site = known_site(PyTuple_GET_ITEM(other, 0), PyTuple_GET_ITEM(other, 1), function,
                          PyTuple_GET_ITEM(other, 2));
        if (site == NULL) {
            site = PyObject_CallOneArg(PyTuple_GET_ITEM(other, 3), function);
        }
    }
    int64_t number = site == NULL ? 0 : PyLong_AsLongLong(site);
    PyErr_Clear();
    Py_XDECREF(site);
    Py_XDECREF(function);
    return number < 0 ? 0 : number;
}

/* asgiref's `SyncToAsync.__call__`. */
static PyObject *
asked_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    StandIn *ask = (StandIn *)self;
    Marks *marks = PyVectorcall_NARGS(nargsf) ? current_marks(ask->variable) : NULL;
    int64_t site = marks == NULL ? 0 : site_number(ask->other, args[0]);
    PyObject *call = PyObject_Vectorcall(ask->wrapped, args, nargsf, names);
    return with_marks(call, marks, HOP, HOP_END, site);
}

/* asked(__call__, variable, (known, ours, name_attribute, ask)) */
PyObject *
native_asked(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *wrapped, *variable, *other;
    if (!PyArg_ParseTuple(args, "OOO!", &wrapped, &variable, &PyTuple_Type, &other)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(other) != 4 || !PyDict_Check(PyTuple_GET_ITEM(other, 0)) ||
        !PyDict_Check(PyTuple_GET_ITEM(other, 1))) {
        PyErr_SetString(PyExc_TypeError, "not (known, ours, name_attribute, ask)");
        return NULL;
    }
    StandIn *made = (StandIn *)stand_in_new(asked_call, wrapped);
    if (made != NULL) {
        made->variable = Py_NewRef(variable);
        made->other = Py_NewRef(other);
    }
    return (PyObject *)made;
}

bool
asks_prepare(void)
{
    func_name = PyUnicode_InternFromString("func");
    name_name = PyUnicode_InternFromString("__name__");
    handler = PyUnicode_InternFromString("thread_handler");
    dunder_code = PyUnicode_InternFromString("__code__");
    return func_name && name_name && handler && dunder_code;
}
