#include "native.h"

/* Names of hand-off sites, as `tracer.runtime.call_sites` gives them: told by who asks and what runs there. */

static PyObject *dunder_code;

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
asker_beyond(PyObject *ours)
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

/* A new reference to the code that has called us, without an object for its frame; or NULL. */
static PyCodeObject *
calling_code(void)
{
#if READS_FRAMES
    struct _PyInterpreterFrame *frame = calling_frame();
    PyObject *code = frame == NULL ? NULL : PyUnstable_InterpreterFrame_GetCode(frame);
#else
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    PyObject *code = frame == NULL ? NULL : (PyObject *)PyFrame_GetCode(frame);
    Py_XDECREF(frame);
#endif
    if (code != NULL && !PyCode_Check(code)) {
        Py_CLEAR(code);
    }
    return (PyCodeObject *)code;
}

/* Sites found recently, by the code that asks and what runs there: told by their addresses, which are
   theirs for as long as they are held here. All are of one table, `sites_of`. */
typedef struct {
    PyCodeObject *code;
    PyObject *what;
    int64_t number;
} Site;

static Site sites[SITES];
static PyObject *sites_of;
static uint32_t tables; /* how many there were: the number of this one */

static void
keep_site(PyObject *known, PyCodeObject *code, PyObject *what, int64_t number)
{
    if (known != sites_of) {
        tables++;
        for (int i = 0; i < SITES; i++) {
            Py_CLEAR(sites[i].code);
            Py_CLEAR(sites[i].what);
        }
        Py_XSETREF(sites_of, Py_NewRef(known));
    }
    Site *site = &sites[place_for(code, what)];
    Py_CLEAR(site->code); /* first and last: no one meets half of a site while others go */
    Py_XSETREF(site->what, Py_NewRef(what));
    site->number = number;
    Py_XSETREF(site->code, (PyCodeObject *)Py_NewRef(code));
}

/* What the table has, asked as Python does; -1 for nothing. */
static int64_t
looked_up(PyObject *known, PyCodeObject *code, PyObject *what, bool named)
{
    PyObject *ran = named ? Py_NewRef(what) : PyLong_FromVoidPtr(what);
    PyObject *address = PyLong_FromVoidPtr(code);
    PyObject *key = ran == NULL || address == NULL ? NULL : PyTuple_Pack(2, address, ran);
    PyObject *found = key == NULL ? NULL : PyDict_GetItemWithError(known, key);
    int64_t number = found == NULL ? -1 : PyLong_AsLongLong(found);
    PyErr_Clear();
    Py_XDECREF(key);
    Py_XDECREF(address);
    Py_XDECREF(ran);
    return number;
}

static int64_t
found_site(PyObject *known, PyCodeObject *code, PyObject *function)
{
    PyObject *what = optional_attr(function, name_attribute);
    bool named = what != NULL;
    if (!named && (what = optional_attr(function, dunder_code)) == NULL) {
        return -1;
    }
    Site *site = &sites[place_for(code, what)];
    int64_t number;
    if (known == sites_of && site->code == code && site->what == what) {
        number = site->number;
    }
    else if ((number = looked_up(known, code, what, named)) >= 0) {
        keep_site(known, code, what, number);
    }
    Py_DECREF(what);
    return number;
}

/* Borrowed: the wrapper with a name of its own that is handed over, alone or as a method; NULL for
   anything else. It remembers its site, as most are asked for by one piece of code. */
static Wrapper *
handed_over(PyObject *function)
{
    Wrapper *made = (Wrapper *)(PyMethod_Check(function) ? PyMethod_GET_FUNCTION(function) : function);
    bool own = Py_IS_TYPE(made, &Wrapper_Type) && made->name != NULL && made->log == NULL;
    return own ? made : NULL;
}

int64_t
site_of(PyObject *known, PyObject *ours, PyObject *function)
{
    Wrapper *made = handed_over(function);
    PyCodeObject *code = calling_code();
    if (made != NULL && made->asker == code && made->sites == tables && known == sites_of) {
        Py_XDECREF(code);
        return made->site;
    }
    if (code == NULL || is_own(ours, code) != Py_False) {
        made = NULL;
        Py_XSETREF(code, asker_beyond(ours));
    }
    int64_t number = code == NULL ? -1 : found_site(known, code, function);
    PyErr_Clear();
    if (made != NULL && known == sites_of && number >= 0 && number <= UINT32_MAX) {
        Py_XSETREF(made->asker, (PyCodeObject *)Py_NewRef(code));
        made->sites = tables;
        made->site = (uint32_t)number;
    }
    Py_XDECREF(code);
    return number;
}

/* handoff_site(known, ours, function): its number, or None. */
PyObject *
native_handoff_site(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyDict_Check(args[0]) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "handoff_site(known, ours, function)");
        return NULL;
    }
    int64_t number = site_of(args[0], args[1], args[2]);
    return number < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(number);
}

bool
sites_prepare(void)
{
    dunder_code = PyUnicode_InternFromString("__code__");
    return dunder_code != NULL;
}
