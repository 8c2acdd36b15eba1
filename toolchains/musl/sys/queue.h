/* Doubly linked lists, as <sys/queue.h> of the BSDs and of glibc has them and musl has not: what Tcl's epoll notifier uses of them.
   An element knows the pointer that leads to it (the head's or the one before's), so it is taken out without the head. */
#ifndef QUEUE_H
#define QUEUE_H

#define LIST_HEAD(name, type) \
    struct name { \
        struct type *first; \
    }
#define LIST_ENTRY(type) \
    struct { \
        struct type *next; \
        struct type **here; \
    }
#define LIST_INIT(head) ((head)->first = 0)
#define LIST_FOREACH(element, head, field) for ((element) = (head)->first; (element); (element) = (element)->field.next)
#define LIST_INSERT_HEAD(head, element, field) \
    do { \
        (element)->field.next = (head)->first; \
        (element)->field.here = &(head)->first; \
        if ((head)->first) { \
            (head)->first->field.here = &(element)->field.next; \
        } \
        (head)->first = (element); \
    } while (0)
#define LIST_REMOVE(element, field) \
    do { \
        if ((element)->field.next) { \
            (element)->field.next->field.here = (element)->field.here; \
        } \
        *(element)->field.here = (element)->field.next; \
    } while (0)

#endif
