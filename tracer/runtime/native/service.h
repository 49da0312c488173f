/* What a server's wrappers need to see a request through that is as all are. */

#ifndef TRACER_SERVICE_H
#define TRACER_SERVICE_H

#include "native.h"

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
    /* What Python does with any request; only some servers need each of them: */
    PyObject *close;       /* (timeline, socket): closes it */
    PyObject *endpoint;    /* (timeline, socket): finds out where it came in */
    PyObject *settle;      /* (timeline, cycle): sets what only the server knows at its end */
    PyObject *calling;     /* (application): gives what is called instead */
    PyObject *roots;       /* makes a coroutine the root of a request */
    long long server;      /* 0 until Python has found out, as the next two */
    long long loop;
    PyObject *loop_type;
    long long http;
    long long floor_ns;    /* what is shorter is the loop's own turn */
    char logs_turns;       /* whether what the loop runs is logged by turns of its own */
    long long interface;
    long long complete;
    PyObject *app;         /* the last, and what is called instead */
    PyObject *application;
    /* Where the last request came in: */
    PyObject *bound;
    PyObject *scheme;
    PyObject *version;
    long long known;
} Service;

/* A name that attributes or entries are asked for by. */
typedef struct {
    PyObject **word;
    const char *text;
} Word;

bool intern_words(const Word *words, size_t count);

long long number_of(PyObject *number); /* steals it; -1 for what is none */
bool is_same(PyObject *one, PyObject *other);
bool is_true(PyObject *object, PyObject *name);

/* When the server first touched the next request: of this, once, or else now. */
int64_t take_touch(PyObject *touches);

/* A new timeline, or NULL, without an error, where Python has to see to it. */
Marks *service_begun(Service *service, int64_t start, long long connection);
void mark_thread(Marks *marks);

/* The head of a request is known, and it is recorded as every one is. False: nothing was done. */
bool service_admits(Service *service, Marks *marks, PyObject *method, PyObject *head);

/* Whether a request came in as the last one did. */
bool service_knows(Service *service, PyObject *bound, PyObject *scheme, PyObject *version);

/* (variable, wrapped, what does it in any case, service) */
PyObject *service_stand_in(vectorcallfunc call, PyObject *args);

#endif
