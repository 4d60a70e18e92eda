/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * streamctx: per-stream contexts for storage daemons.
 *
 * Independent modules (owners) attach small records (contexts) to open streams.
 * Lookups are RCU reads: no lock, no write to shared memory.  Inserts and
 * removes take the spinlock of one stream.  An owner's FreeCallback runs
 * once, after a grace period.  The model is the Windows file-system-filter
 * facility FsRtl...PerStreamContext; each function names the WDK routine that
 * it mirrors.
 *
 * Conventions
 *   Errors are negative errno values; 0 is success.
 *   Out-parameters are always written, with NULL on failure.
 *   -EINVAL is returned for a NULL or malformed argument by every function
 *   that can return an error, and is not repeated below.
 *   Structs with a @size may grow at the end from release to release.  Set
 *   @size to the sizeof of the struct, and members that you do not use to 0.
 *   The library reads members that an older program lacks as 0.  It returns
 *   -E2BIG if a newer program sets a member that this library lacks.  In
 *   results, @size becomes the number of bytes that were filled; the rest is 0.
 *   A size that no release had is -EINVAL.
 *
 * Each comment ends with these properties of the function.
 *
 *   Progress     wait-free: a bounded number of steps, whatever others do;
 *                lock-free: no lock, one atomic on one cache line;
 *                stream lock / bucket lock: may spin on the lock of one
 *                stream / of one bucket of the table;
 *                blocks: may sleep.
 *   In section   what it does inside a read section (sctx_read_lock).
 *   In callback  what it does inside a FreeCallback.
 */
#ifndef STREAMCTX_H
#define STREAMCTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SCTX_VERSION "0.1.0"
#define SCTX_VERSION_MAJOR 0
#define SCTX_VERSION_MINOR 1
#define SCTX_VERSION_PATCH 0
#define SCTX_VERSION_NUMBER \
	(SCTX_VERSION_MAJOR << 16 | SCTX_VERSION_MINOR << 8 | SCTX_VERSION_PATCH)

#if defined(__GNUC__)
#define SCTX_API        __attribute__((visibility("default")))
#define SCTX__EXTENSION __extension__ /* C99 has no unnamed unions */
#else
#define SCTX_API
#define SCTX__EXTENSION
#endif

#if UINTPTR_MAX != UINT64_MAX
#error "streamctx needs a 64-bit system"
#endif

/* "VERSION, RCU flavour, allocator", for logs; ", debug" in a DEBUG build.  Static storage. */
SCTX_API const char *sctx_version(void);

/* The library's SCTX_VERSION_NUMBER, to compare with the header's. */
SCTX_API unsigned int sctx_version_number(void);

/* ------------------------------------------------------------------ types */

struct sctx_context;
struct sctx_stream;
struct sctx_registry;

/*
 * Names a stream: 32 bytes, compared as bytes.  The fields suit a
 * FILE_ID_INFO plus stream number; a gfid, or device + inode + generation,
 * fits as well.  Every value is valid, including all zeros and all ones.
 */
struct sctx_id {
	uint64_t volume;
	uint64_t file[2];
	uint64_t stream;
};

/* FreeCallback: see sctx_context_init(). */
typedef void (*sctx_free_fn)(struct sctx_context *ctx);

/*
 * One {owner, instance, context} of a stream's list.  Readers walk entries
 * and never the contexts behind them.  @owner and @instance do not change
 * once the entry is published; @context becomes NULL when it is unlinked.
 */
struct sctx_entry {
	const void *owner;
	const void *instance;
	struct sctx_context *context;
};

#define SCTX_INLINE_ENTRIES 2

/*
 * A stream: the list that contexts are attached to.  A plain struct that you
 * can embed in an inode, a handle or a volume; the registry uses it as well.
 * All fields are private to the library.
 *
 *        0        8                32               56   64    66  68    72   80
 *        +--------+----------------+----------------+----+-----+---+-----+----+-------+
 *        | only   | inline_entry[0]| inline_entry[1]|list|state|age|opens|next|free_fn|
 *        +--------+----------------+----------------+----+-----+---+-----+----+-------+
 *
 * @list is the number of inline entries in use, or the address of the array
 * that replaced them.  While it is 1, @only is that entry's owner, otherwise
 * NULL: most streams have one context, and one comparison finds it.  In a
 * registry's streams the 32-byte id precedes this struct, so id, @only and the
 * first entry share a cache line.
 */
struct sctx_stream {
	const void *only;
	struct sctx_entry inline_entry[SCTX_INLINE_ENTRIES];
	uintptr_t list;
	uint16_t state;
	uint16_t age; /* of a registry's own: when it became idle last */
	uint32_t opens;
	struct sctx_stream *next; /* in limbo */
	SCTX__EXTENSION union {
		void (*free_fn)(struct sctx_stream *stream);
		struct sctx_registry *registry; /* if a registry owns it */
	};
};

/*
 * A context, embedded in its owner's structure.  The holder of a reference may
 * read @owner, @instance and @free_callback (FSRTL_PER_STREAM_CONTEXT's
 * OwnerId, InstanceId, FreeCallback).  The other fields are private.
 */
struct sctx_context {
	const void *owner;
	const void *instance;
	sctx_free_fn free_callback;
	struct sctx_stream *stream; /* where it is linked, NULL, or SCTX__IN_LIMBO */
	struct sctx_context *next;  /* in limbo */
	uint32_t refs;
	uint16_t flags;
	bool linked_once; /* others may know it */
};

/* In sctx_context.stream: limbo has the last reference, and no stream takes the context. */
#define SCTX__IN_LIMBO ((struct sctx_stream *)1)

/* ---------------------------------------------------------- read sections */

/*
 * Begin and end a read section.  Pointers borrowed inside it (sctx_lookup,
 * sctx_find) stay valid until the outermost section ends.  Sections nest.  Keep
 * them short: nothing that is retired meanwhile can be freed before they end.
 *
 * A thread attaches itself at its first section and detaches when it exits.
 * If it exits inside a section, the section ends.
 * The first call in a thread may need a little memory for the exit hook, and
 * retries until it gets it.  To get an error instead, call
 * sctx_thread_attach() first.  Later calls are wait-free.
 *
 * Progress: wait-free.  In section: nests.  In callback: yes.
 */
#ifndef SCTX_INLINE
SCTX_API void sctx_read_lock(void);
SCTX_API void sctx_read_unlock(void);
#endif

/*
 * Attach the calling thread now rather than at first use.  Attaching twice is
 * no error.
 * Errors: -ENOMEM, no memory or no key for the thread's exit hook; nothing has
 * changed.
 * Progress: blocks (briefly).  In section, in callback: yes, does nothing.
 */
SCTX_API int sctx_thread_attach(void);

/*
 * Detach the calling thread and hand what it retired to the reclaimer.  Only a
 * thread that outlives the library's dlclose() needs this; others detach at
 * exit.  The next use of the library attaches the thread again.
 * Errors: -EDEADLK inside a read section or a callback.
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_thread_detach(void);

/*
 * For the qsbr flavour; a no-op in the others.  Declare that this thread is
 * about to sleep or idle outside any section.  Its next section or update
 * brings it back online.  A qsbr thread that idles without this call holds up
 * every grace period.  Does nothing inside a read section.
 * Progress: wait-free.
 */
SCTX_API void sctx_thread_offline(void);

/*
 * Declare, before any thread has used the library, that the daemon registers
 * all its threads with the same liburcu flavour itself.  The library then
 * registers only its own threads.
 * Errors: -EBUSY, a thread was already registered by the library;
 * -EOPNOTSUPP in the c11 flavour, which no host can share.
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_threads_registered_by_host(void);

/* --------------------------------------------------------------- contexts */

/* A FreeCallback for contexts that need no freeing. */
SCTX_API void sctx_no_free(struct sctx_context *ctx);
#define SCTX_NO_FREE sctx_no_free

/*
 * Initialise @ctx.  The caller holds its only reference.  @owner is any
 * non-NULL pointer that identifies the module.  @instance distinguishes several
 * contexts of one owner on one stream; NULL if there is only one.
 *
 * @free_callback is called once, with @ctx, after the last reference is put
 * and a grace period has passed: on the reclaimer's thread, outside any read
 * section, with no lock of the library held.  It may block on the owner's own
 * locks, and may call every function here that does not wait.
 *
 * Errors: -EINVAL for a NULL @ctx, @owner or @free_callback.
 * Mirrors FsRtlInitPerStreamContext.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API int sctx_context_init(struct sctx_context *ctx, const void *owner, const void *instance,
			       sctx_free_fn free_callback);

/*
 * Take another reference, for the caller, on a context that the caller holds or
 * has borrowed in its current read section.  Returns @ctx; NULL for NULL, or if
 * the context has 2^31 references.
 * Mirrors FltReferenceContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API struct sctx_context *sctx_ref(struct sctx_context *ctx);

/*
 * Drop the caller's reference.  Dropping the last one retires the context: its
 * callback runs after a grace period.
 * Errors: the caller holds no reference: the only one belongs to the stream
 * (-EBUSY) or to limbo (-EBADF); nothing has changed.
 * Mirrors FltReleaseContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_put(struct sctx_context *ctx);

/*
 * Unlink @ctx from its stream and drop the stream's reference.  The caller holds
 * a reference, which it keeps, or has borrowed @ctx in its current read section.
 * Errors: -ENOENT, @ctx is not linked.
 * Mirrors FltDeleteContext.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_detach(struct sctx_context *ctx);

/*
 * The stream that @ctx is linked to, or NULL.  The caller holds a reference on @ctx or has
 * borrowed it.  The stream is borrowed: it is valid until the caller's read section ends.
 * Progress: wait-free.  In section: required.  In callback: yes.
 */
SCTX_API struct sctx_stream *sctx_context_stream(const struct sctx_context *ctx);

/* ---------------------------------------------------------------- streams */

/*
 * Make @stream an empty list that supports contexts.
 * Mirrors FsRtlSetupAdvancedHeader.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_init(struct sctx_stream *stream);

/*
 * Whether contexts can be inserted: false for NULL, a disabled stream, or a
 * stream that was torn down.
 * Mirrors FsRtlSupportsPerStreamContexts.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API bool sctx_stream_supports_contexts(const struct sctx_stream *stream);

/*
 * From now on @stream accepts no context, and lookups and removes find nothing
 * (paging files).  Contexts that are linked stay until teardown.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_disable(struct sctx_stream *stream);

/*
 * Unlink every context of @stream and refuse new ones.  Drops the stream's
 * references: the callbacks of contexts without other references run after a
 * grace period.  After it returns, no insert succeeds and no lookup finds
 * anything.  Tearing down twice is no error.
 *
 * Readers may still use @stream itself.  Free the structure around it through
 * sctx_stream_retire(), or after sctx_teardown_sync().
 *
 * Errors, of every teardown here: -EPERM, @stream is a registry's, which tears it down by
 * itself.  To be rid of one, forget it (sctx_forget) and close it.
 *
 * Mirrors FsRtlTeardownPerStreamContexts, whose callbacks run synchronously.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_teardown(struct sctx_stream *stream);

/*
 * sctx_teardown(), then wait until every resulting callback has returned and no
 * reader is left in @stream.  The memory around it may then be freed.  The
 * callbacks run on the calling thread, and no others are waited for.  A context
 * with other references is not waited for; its callback runs after its last
 * holder has put it.  The callback of a context that was deleted or put before
 * the call may run after it, too: see sctx_barrier().  If @stream had been torn
 * down before, the call waits as sctx_barrier() does.
 * Errors: -EDEADLK inside a read section or a callback; nothing has changed.
 * -EAGAIN or -ENOMEM, the call had to wait as sctx_barrier() does, and the
 * reclaimer's thread could not be started; @stream is torn down, but call again
 * before freeing it.
 * Mirrors FsRtlTeardownPerStreamContexts.
 * Progress: blocks.
 */
SCTX_API int sctx_teardown_sync(struct sctx_stream *stream);

/*
 * sctx_teardown(), then hand the memory around @stream to the reclaimer:
 * @free_fn(@stream) is called after a grace period, like a FreeCallback.
 * The caller must not use @stream afterwards.
 * Errors: -EALREADY, retired before; -EPERM, @stream belongs to a registry,
 * which retires it itself.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_retire(struct sctx_stream *stream,
				void (*free_fn)(struct sctx_stream *stream));

/*
 * sctx_teardown(), but first call @fn for each context on @stream, borrowed,
 * newest first.  For contexts that their owners should have removed, such as
 * those of a file handle at its close.  @fn may be NULL.  Returns the number of
 * contexts.
 * Mirrors the teardown of FsRtl...PerFileObjectContext, which leaks them.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_teardown_report(struct sctx_stream *stream,
				  void (*fn)(struct sctx_context *ctx, void *arg), void *arg);

/*
 * A stream behind a pointer, allocated at first use, for structures most of
 * which never get a context.  *@slot is NULL at first and is set once; all
 * callers get that stream.  Readers load it with sctx_stream_load(), and may
 * pass the result on even if it is NULL: lookup, get and remove find nothing.
 * Errors: -ENOMEM.
 * Mirrors FsRtlInsertPerFileContext's control block.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_create(struct sctx_stream **slot, struct sctx_stream **stream);

/* The current *@slot: NULL if no stream was created.  NULL for NULL. */
SCTX_API struct sctx_stream *sctx_stream_load(struct sctx_stream *const *slot);

/*
 * Tear down the stream behind *@slot, if any, set *@slot to NULL and free the
 * stream after a grace period.
 * Mirrors FsRtlTeardownPerFileContexts.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_drop(struct sctx_stream **slot);

/*
 * Call @fn for each context on @stream, borrowed, newest first, inside a read
 * section.  A value other than 0 from @fn ends the walk and is returned.
 * Progress: wait-free but for @fn.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_for_each(const struct sctx_stream *stream,
				  int (*fn)(struct sctx_context *ctx, void *arg), void *arg);

/*
 * Matching, for lookup, get, remove, delete, insert_unique, replace and
 * get_or_create alike, newest first:
 *   (owner, instance)  both match
 *   (owner, NULL)      the newest of that owner, whatever its instance
 *   (NULL, NULL)       the newest of all     (lookup, get, remove, delete)
 *   (NULL, instance)   invalid, matches nothing
 */

/*
 * Borrow the context that matches: valid until the caller's read section ends.
 * NULL if none matches, or if @stream is NULL.
 * Mirrors FsRtlLookupPerStreamContext.
 * Progress: wait-free.  In section: required.  In callback: yes.
 */
#ifndef SCTX_INLINE
SCTX_API struct sctx_context *sctx_lookup(const struct sctx_stream *stream, const void *owner,
					  const void *instance);
#endif

/*
 * sctx_lookup() with a reference for the caller: valid until sctx_put().
 * @stream must stay valid during the call (open, or borrowed in a section).
 * Mirrors FltGetStreamContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API struct sctx_context *sctx_get(const struct sctx_stream *stream, const void *owner,
				       const void *instance);

/*
 * sctx_get() for each of @n owners, in one section: @ctx[i] is the newest
 * context of @owner[i], or NULL.  Returns the number found.
 * Mirrors FltGetContexts.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_get_many(const struct sctx_stream *stream, size_t n, const void *const *owner,
			   struct sctx_context **ctx);

/*
 * sctx_put() for each of @ctx[0 .. n) that is not NULL.
 * Errors: those of sctx_put(); the first is returned, the rest are put.
 * Mirrors FltReleaseContexts.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_put_many(size_t n, struct sctx_context *const *ctx);

/*
 * Link @ctx to @stream as its newest context.  The caller's reference moves to
 * the stream; on failure it stays with the caller.  Duplicates are not checked.
 * Errors: -EBUSY, @ctx is linked already; -EBADF, its last reference was put
 * (even if the caller has since taken one on the borrowed context: wait with
 * sctx_barrier()); -EOPNOTSUPP, @stream is disabled or zeroed memory;
 * -ESHUTDOWN, @stream was torn down, or the registered owner is leaving;
 * -ENOMEM; -EAGAIN, limbo is at its limit and the caller cannot wait (in a read
 * section or callback, or SCTX_RECLAIM_NOWAIT), or the reclaimer's thread could
 * not be started.
 * Mirrors FsRtlInsertPerStreamContext.
 * Progress: stream lock; at the limbo limit, blocks until below it.
 * In section, in callback: yes, with -EAGAIN instead of waiting.
 */
SCTX_API int sctx_insert(struct sctx_stream *stream, struct sctx_context *ctx);

/*
 * sctx_insert(), unless a lookup of @ctx's (owner, instance) finds a context.
 * Then it returns -EEXIST, and *@existing is that context with a reference for
 * the caller.  In all other cases *@existing is NULL.  @existing may be NULL.
 * Errors: as sctx_insert(), and -EEXIST.
 * Mirrors FltSetStreamContext with FLT_SET_CONTEXT_KEEP_IF_EXISTS.
 * Progress, contexts: as sctx_insert().
 */
SCTX_API int sctx_insert_unique(struct sctx_stream *stream, struct sctx_context *ctx,
				struct sctx_context **existing);

/*
 * Replace the context that a lookup of @ctx's (owner, instance) finds; insert
 * @ctx if there is none.  At every instant readers find one of the two.  *@old
 * is the replaced context with the stream's reference, or NULL.  If @old is
 * NULL, that reference is dropped.
 * Errors: as sctx_insert().
 * Mirrors FltSetStreamContext with FLT_SET_CONTEXT_REPLACE_IF_EXISTS.
 * Progress, contexts: as sctx_insert().
 */
SCTX_API int sctx_replace(struct sctx_stream *stream, struct sctx_context *ctx,
			  struct sctx_context **old);

/*
 * Creates a context with the given @owner and @instance, one reference, not
 * linked.  Returns NULL on failure.  Called with no lock held.
 */
typedef struct sctx_context *(*sctx_create_fn)(const void *owner, const void *instance, void *arg);

/*
 * Get the context that matches or, if there is none, create and insert one,
 * atomically.  If several threads do so, one context wins and all get it, each
 * with a reference.  The others are dropped through their callbacks.
 * Errors: as sctx_insert(); -EOVERFLOW, 2^31 references are out on what was
 * found; -ENOMEM if @create returned NULL; -EINVAL for a
 * NULL @owner, or if @create's context has another owner or instance (it is
 * then dropped); -EBUSY if it is linked: the reference is then the caller's again.
 * Progress: found: lock-free; else as sctx_insert().
 */
SCTX_API int sctx_get_or_create(struct sctx_stream *stream, const void *owner, const void *instance,
				sctx_create_fn create, void *arg, struct sctx_context **ctx);

/*
 * Unlink the first match and return it, or NULL.  The stream's reference moves
 * to the caller; no callback is called.  The caller may free the context at
 * once if no other thread can have borrowed or referenced it; otherwise it
 * calls sctx_put().
 * Mirrors FsRtlRemovePerStreamContext.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API struct sctx_context *sctx_remove(struct sctx_stream *stream, const void *owner,
					  const void *instance);

/*
 * sctx_remove() and sctx_put().
 * Errors: -ENOENT, nothing matches.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_delete(struct sctx_stream *stream, const void *owner, const void *instance);

/* --------------------------------------------------------------- registry */

/*
 * Create an empty table from stream ids to streams.  It grows by itself and
 * does not shrink.
 * Errors: -ENOMEM; -EOVERFLOW, the allocator's addresses need more than 48
 * bits (as pointers with a tag in their upper byte do); or the error of
 * getrandom(2).
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_registry_create(struct sctx_registry **registry);

/*
 * Destroy @registry, which no other thread may be using.  Idle streams are torn
 * down without calling may_drop.
 * Errors: -EBUSY, streams are open or tracked, or owners are registered; nothing
 * has changed.  sctx_registry_close_all() closes open streams.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_registry_destroy(struct sctx_registry *registry);

#define SCTX_OPEN_EXISTING 0x1u /* do not create: -ENOENT if there is no stream */
#define SCTX_OPEN_NOWAIT   0x2u /* -EAGAIN rather than wait at the limbo limit */

/*
 * Find the stream named @id, open or idle, or create it, and take an open
 * reference for the caller: *@stream stays valid until the caller's sctx_close().
 * Errors: -ENOENT, there is no stream and SCTX_OPEN_EXISTING; -ENOMEM, also for
 * memory at an address of more than 48 bits; -EOVERFLOW, 2^28 open references;
 * -EAGAIN as for sctx_insert(), also with SCTX_OPEN_NOWAIT; the error of the
 * attach of an owner with SCTX_OWNER_REQUIRED.
 * Progress: stream exists: lock-free; else bucket lock, and at the limbo limit
 * blocks until below it.  If there are too many idle streams, an open that
 * creates a stream also visits up to 512 buckets and drops up to 32 idle streams,
 * with the lock of one bucket at a time.
 * In section, in callback: yes, with -EAGAIN instead of waiting.
 */
SCTX_API int sctx_open(struct sctx_registry *registry, const struct sctx_id *id, unsigned int flags,
		       struct sctx_stream **stream);

/*
 * sctx_open() that passes @arg, such as a descriptor or a path, to the owners'
 * attach if it creates the stream.
 * Errors, progress, contexts: as sctx_open().
 */
SCTX_API int sctx_open_arg(struct sctx_registry *registry, const struct sctx_id *id,
			   unsigned int flags, void *arg, struct sctx_stream **stream);

/*
 * Take another open reference on @stream, which the caller has open or has
 * borrowed in its current read section.  An idle stream is opened again.
 * Errors: -ESTALE, the borrowed stream was dropped; -EOVERFLOW, 2^28 open
 * references; -EPERM, @stream does not belong to a registry.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_ref(struct sctx_stream *stream);

/*
 * sctx_open() for each of the @n ids in the array @id, into @stream[0] to
 * @stream[n - 1].  The cache misses of several opens overlap.  Each open
 * succeeds or fails by itself.  Returns 0 if all succeeded, otherwise the first
 * error.  @stream is NULL where an open failed; the caller closes the others.
 * An id may occur more than once.
 * Errors, progress, contexts: as sctx_open().
 */
SCTX_API int sctx_open_many(struct sctx_registry *registry, const struct sctx_id *id,
			    unsigned int n, unsigned int flags, struct sctx_stream **stream);

/*
 * Drop an open reference.  The last close leaves the stream idle if the registry
 * keeps idle streams (sctx_registry_idle) and the stream was not forgotten;
 * otherwise it removes the stream from the registry and tears it down.  Never
 * waits, and needs no memory.
 * Errors: -EBADF, no open reference is left (detected only while @stream's memory
 * is valid: inside the read section in which it was borrowed); -EPERM, @stream
 * does not belong to a registry.
 * Progress: not the last, or the last into idle: lock-free; else bucket and
 * stream lock.
 * In section, in callback: yes.
 */
SCTX_API int sctx_close(struct sctx_stream *stream);

/*
 * Drop @n open references at once.  Returns 1 if they were the last, or 0.
 * Errors: as sctx_close(); -EBADF if fewer than @n are left, nothing has changed;
 * -EINVAL for an @n of 0.
 * Progress, contexts: as sctx_close().
 */
SCTX_API int sctx_close_many(struct sctx_stream *stream, uint32_t n);

#define SCTX_CLOSE_FORGET 0x1u /* sctx_forget() the stream first */

/*
 * sctx_close() with flags.  Returns 1 if it was the last close, or 0.
 * Errors: as sctx_close(); -EINVAL for an unknown flag.
 * Progress: lock-free without flags and unless last; else bucket and stream lock.
 * In section, in callback: yes.
 */
SCTX_API int sctx_close_flags(struct sctx_stream *stream, unsigned int flags);

/*
 * The file named @id was deleted or replaced.  An idle stream is torn down now.
 * An open one is no longer found by @id, and is torn down at its last close; the
 * next open of @id gets a new stream.
 * Errors: -ENOENT, no such stream.
 * Progress: bucket and stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_forget(struct sctx_registry *registry, const struct sctx_id *id);

/*
 * Drop all open references on all streams and tear the streams down, for a
 * shutdown with streams still open.  Calls @fn first for each stream, borrowed;
 * @fn may be NULL.  The holders of the references must not close the streams
 * afterwards.  Idle streams stay.  Returns the number of streams that were open.
 * Errors: -ENOMEM.
 * Progress: bucket and stream locks, one at a time; may wait at the limbo limit.
 * In section, in callback: yes, without waiting.
 */
SCTX_API int sctx_registry_close_all(struct sctx_registry *registry,
				     void (*fn)(struct sctx_stream *stream, void *arg), void *arg);

/* The state of a registry's stream.  An embedded stream is open until its teardown. */
enum sctx_stream_state {
	SCTX_STREAM_OPEN,
	SCTX_STREAM_IDLE,      /* no open reference; found by its id, and can be opened again */
	SCTX_STREAM_FORGOTTEN, /* open, but no longer found by its id */
	SCTX_STREAM_DEAD       /* torn down */
};

/*
 * The current state of @stream, which is open or borrowed.  DEAD for NULL.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API enum sctx_stream_state sctx_stream_state(const struct sctx_stream *stream);

struct sctx_idle_options {
	size_t size;          /* sizeof(struct sctx_idle_options) */
	size_t limit_streams; /* idle streams to keep; 0: none, a last close ends its stream */
	size_t limit_bytes;   /* of nodes, arrays and sctx_context_alloc() contexts; 0: no limit */

	/*
	 * Whether an idle stream may be dropped: 0, or -EAGAIN to keep it for
	 * now.  Called with no lock held, in a read section: it may take the
	 * user's own locks, and may call every function that does not wait.
	 * Not called by forget and destroy.  Optional.
	 */
	int (*may_drop)(struct sctx_stream *stream, void *arg);
	void *arg;
};

/*
 * Keep streams idle, with their contexts, after their last close.  Opens,
 * sctx_find() and sctx_registry_for_each() find them.  When an open creates a
 * stream and more streams than the limit are idle, the oldest are dropped: torn
 * down and retired.
 *
 * The limit is soft.  Open streams do not count.  A limit of L can be exceeded by
 * L/16 streams, at most 16; by L/16 for each thread, at most 32; by streams that
 * may_drop keeps; and by streams closed since the last creation of a stream.
 * Bytes are estimated from the streams that are visited.
 *
 * May be called at any time.  A lower limit drops streams before the call returns.
 * Errors: -ENOMEM; -EDEADLK inside a read section or a callback; nothing has
 * changed.
 * Progress: blocks (for readers in their sections).
 */
SCTX_API int sctx_registry_idle(struct sctx_registry *registry,
				const struct sctx_idle_options *options);

/*
 * Drop idle streams, the oldest first, until @keep are left, but at most @max
 * (0: any number), for instance when memory is short.  Calls may_drop.  Returns
 * the number dropped.
 * Progress: bucket and stream locks, one at a time; with a @max of 0, may wait at
 * the limbo limit.  In section, in callback: yes, without waiting.
 */
SCTX_API int64_t sctx_registry_trim(struct sctx_registry *registry, uint64_t keep, uint64_t max);

/*
 * Borrow the stream named @id, open or idle: valid until the caller's read
 * section ends.  NULL if there is none, or for NULL arguments.
 * Progress: wait-free.  In section: required.  In callback: yes.
 */
SCTX_API struct sctx_stream *sctx_find(struct sctx_registry *registry, const struct sctx_id *id);

/* The id of @stream; NULL if it does not belong to a registry. */
SCTX_API const struct sctx_id *sctx_stream_id(const struct sctx_stream *stream);

/*
 * Call @fn for each stream, whether open, idle or forgotten (sctx_stream_state),
 * borrowed.  A new read section begins every few streams.  A stream that exists
 * throughout is visited once; one that is created or dropped meanwhile, at most
 * once.  @fn may open, close and forget any stream.  It must return: no longjmp,
 * no exception.  A value other than 0 from @fn ends the walk and is returned.
 * Errors: -ENOMEM.
 * Progress: bucket lock.  In section, in callback: yes.
 */
SCTX_API int sctx_registry_for_each(struct sctx_registry *registry,
				    int (*fn)(struct sctx_stream *stream, void *arg), void *arg);

/* ----------------------------------------------------------------- owners */

/*
 * A module that comes and goes.  Its address is the owner id of its contexts.
 * They come only from sctx_context_alloc() or sctx_owner_context_init(), and
 * end with sctx_put().  So the library knows when the last of them is gone and
 * the module's code may be unmapped.
 */
struct sctx_owner;

/* Four characters that name an owner, or a kind of memory. */
#define SCTX_TAG(a, b, c, d)                                                \
	((uint32_t)(unsigned char)(a) | (uint32_t)(unsigned char)(b) << 8 | \
	 (uint32_t)(unsigned char)(c) << 16 | (uint32_t)(unsigned char)(d) << 24)

#define SCTX_OWNER_NAME_MAX 31 /* characters */
#define SCTX_ATTACH_MAX     32 /* owners of a registry that attach at open */

#define SCTX_OWNER_REQUIRED 0x1u /* if attach fails, the open fails */
#define SCTX_OWNER_LOCKED   0x2u /* contexts in memory that is never swapped out */
/*
 * ops.free may run on any thread that uses the library, at the end of a call that changes
 * something, inside a read section.  It must not wait, or take a lock under which the
 * library is called.  It then usually runs on the thread that retired the context, where
 * the memory is cheapest to free.
 */
#define SCTX_OWNER_FREE_ANYWHERE 0x4u

struct sctx_owner_ops {
	size_t size;      /* sizeof(struct sctx_owner_ops) */
	const char *name; /* copied */
	uint32_t tag;     /* SCTX_TAG('S', 'p', 'y', ' ') */
	unsigned int flags;
	size_t context_size; /* bytes that sctx_context_alloc() adds to each context */

	/*
	 * Create the context of a stream that is being created, with one
	 * reference, in *@ctx.  It is linked before any other thread can see
	 * the stream.  Leave *@ctx NULL to decline.  If it returns a negative
	 * errno, the open fails with it if the owner is SCTX_OWNER_REQUIRED,
	 * otherwise it goes on without this owner.  Called with no lock held
	 * and outside any section of the library, on the opening thread; may
	 * block.
	 * The stream may still turn out to have been created by another
	 * thread: then *@ctx is unlinked and freed again.  @arg is that of
	 * sctx_open_arg(), or NULL.  Optional.
	 */
	int (*attach)(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
		      struct sctx_context **ctx);

	/*
	 * @ctx was unlinked by remove, replace, detach, teardown or unregister.
	 * Called once for each link, before the call that unlinked it returns,
	 * with no lock held and @ctx valid.  It runs in a read section: it may
	 * take the module's own locks, and may call every function that does
	 * not wait.  Optional.
	 */
	void (*detached)(struct sctx_context *ctx);

	/*
	 * The FreeCallback: see sctx_context_init().  After it returns, memory
	 * from sctx_context_alloc() is freed.  Required with
	 * sctx_owner_context_init(), otherwise optional.
	 */
	void (*free)(struct sctx_context *ctx);

	void *arg; /* sctx_owner_arg() */

	/*
	 * idle: the stream of @ctx lost its last open reference and is kept.
	 * revived: it was opened again.  For each context the two alternate,
	 * beginning with idle; a close and an open that overlap may cause
	 * neither.  Called before the close or open returns, unless another
	 * thread is calling them for the same stream, which then does this
	 * too.  Rules as for detached.  A dropped stream is not revived first.
	 * Optional.
	 */
	void (*idle)(struct sctx_context *ctx);
	void (*revived)(struct sctx_context *ctx);

	/*
	 * Bytes of the structure around a context of sctx_owner_context_init(), for
	 * limbo's limit_bytes.  0: unknown, only the context counts.
	 */
	size_t embedded_size;
};

/*
 * Register a module.  Its attach is not called for streams that exist already.
 * Errors: -ENOSPC, SCTX_ATTACH_MAX owners attach already; -ENOMEM.
 * Mirrors FltRegisterFilter.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_owner_register(struct sctx_registry *registry, const struct sctx_owner_ops *ops,
				 struct sctx_owner **owner);

/* What @owner was registered with.  It stays valid while one of its contexts exists. */
SCTX_API const char *sctx_owner_name(const struct sctx_owner *owner);
SCTX_API uint32_t sctx_owner_tag(const struct sctx_owner *owner);
SCTX_API void *sctx_owner_arg(const struct sctx_owner *owner);

/*
 * A new context of @owner: struct sctx_context, followed by context_size +
 * @extra zeroed bytes for the module (sctx_context_data()).  The caller holds
 * its only reference.
 * Errors: -ESHUTDOWN, @owner is leaving; -ENOMEM.
 * Mirrors FltAllocateContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_context_alloc(struct sctx_owner *owner, const void *instance, size_t extra,
				struct sctx_context **ctx);

/*
 * The module's bytes of a context from sctx_context_alloc().
 * Progress: wait-free.  In section, in callback: yes.
 */
#ifndef SCTX_INLINE
SCTX_API void *sctx_context_data(struct sctx_context *ctx);
#endif

/*
 * sctx_context_init() for a context in a structure that the module allocates.
 * The FreeCallback is ops.free.
 * Errors: -EINVAL if ops.free is NULL; -ESHUTDOWN, @owner is leaving.
 * Mirrors FsRtlInitPerStreamContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_owner_context_init(struct sctx_owner *owner, struct sctx_context *ctx,
				     const void *instance);

/*
 * Make an embedded stream known to @registry, so that unregistering an owner
 * finds its contexts there.  Teardown ends this.
 * Errors: -EALREADY, tracked already; -ESHUTDOWN, torn down; -EOPNOTSUPP,
 * disabled or never initialised; -EPERM, it belongs to a registry; -ENOMEM.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_track(struct sctx_registry *registry, struct sctx_stream *stream);

#define SCTX_LEAKS_LISTED 8
#define SCTX_LEAK_SITES   4

/* A context that is still referenced.  This struct cannot grow. */
struct sctx_leak {
	const struct sctx_context *ctx; /* an address, for comparing */
	const void *instance;
	bool has_id;                           /* it was on a registry's stream ... */
	struct sctx_id id;                     /* ... with this id */
	const void *taken_at[SCTX_LEAK_SITES]; /* DEBUG builds: code that took references */
};

struct sctx_leaks {
	size_t size; /* sizeof(struct sctx_leaks), set by the caller */
	char name[SCTX_OWNER_NAME_MAX + 1];
	uint32_t tag;
	uint64_t held;       /* contexts of the owner that are not freed */
	unsigned int listed; /* how many of them are in @leak */
	struct sctx_leak leak[SCTX_LEAKS_LISTED];
};

/*
 * The module leaves.  Refuse new contexts of @owner, unlink its contexts from
 * every stream of its registry and from the tracked streams, wait until its
 * callbacks have returned, and free @owner.  After 0 the library does not call
 * the module any more, and its code may be unmapped.
 *
 * If a context is still referenced, it stays valid until it is put.  The call
 * then returns -EBUSY with a report in *@leaks, which may be NULL, and the owner
 * keeps refusing new contexts.  Call again when the references have been put.
 * Errors: -EBUSY; -ENOENT, not a registered owner; -EALREADY, another thread
 * is unregistering it; -EDEADLK inside a read section or a callback; -EAGAIN or
 * -ENOMEM, the reclaimer's thread could not be started (call again).
 * Mirrors FltUnregisterFilter.
 * Progress: blocks.
 */
SCTX_API int sctx_owner_unregister(struct sctx_owner *owner, struct sctx_leaks *leaks);

/*
 * Wait until the callbacks of @owner's contexts retired before the call have
 * returned.
 * Errors: as sctx_barrier().
 * Progress: blocks.
 */
SCTX_API int sctx_owner_drain(struct sctx_owner *owner);

/* ---------------------------------------------------------------- reclaim */

/*
 * Wait until the callbacks of everything retired before the call, by any
 * thread, have returned.
 * Errors: -EDEADLK inside a read section or a callback; -EAGAIN or -ENOMEM,
 * the reclaimer's thread could not be started.
 * Progress: blocks.
 */
SCTX_API int sctx_barrier(void);

/*
 * Wait until every read section that began before the call has ended.
 * Errors: -EDEADLK inside a read section or a callback.
 * Progress: blocks.
 */
SCTX_API int sctx_synchronize(void);

/*
 * Who frees.
 *   thread  the library's own thread, started when first needed.
 *   poll    the callers of sctx_reclaim_poll(), such as an event loop.  At the
 *           limit, creators get -EAGAIN instead of waiting.
 * In poll mode, sctx_barrier() and the other calls that wait for callbacks do
 * the work on the calling thread.
 */
enum sctx_reclaim_mode { SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL };

#define SCTX_RECLAIM_NOWAIT 0x1u /* at the limit, creators get -EAGAIN instead of waiting */

struct sctx_reclaim_options {
	size_t size;            /* sizeof(struct sctx_reclaim_options) */
	size_t limit_bytes;     /* of limbo, > 0 */
	size_t limit_callbacks; /* of limbo, > 0 */
	unsigned int flags;
	enum sctx_reclaim_mode mode;
};

#define SCTX_LIMIT_BYTES_DEFAULT     ((size_t)32 << 20)
#define SCTX_LIMIT_CALLBACKS_DEFAULT ((size_t)256 << 10)

/*
 * Set the limits and the mode of limbo, for the whole process.  At a limit, calls
 * that create (open of a new stream, insert) wait for five seconds at most, and
 * get -EAGAIN then, or at once if they must not wait.  Calls that release never
 * wait and never fail.  Threads account in batches, so a limit can be exceeded by
 * up to 1/64 of it for each thread.  Bytes count streams, arrays, tables and
 * contexts: with their data if sctx_context_alloc() allocated them, and with the
 * structure around them if their owner states its size (embedded_size).  Each of
 * these counts as one callback.
 * Errors: -EINVAL for a limit of 0, or an unknown flag or mode; -EDEADLK, a change
 * of mode inside a callback or a read section; nothing has changed.
 * Progress: blocks (briefly; away from the thread mode, until that thread has
 * ended).  In section, in callback: yes, but for a change of mode.
 */
SCTX_API int sctx_reclaim_configure(const struct sctx_reclaim_options *options);

/*
 * For poll mode: call it regularly, from a timer or when idle.  Waits for a grace
 * period, if anything was retired, and runs at most @max of the callbacks that
 * are due (0: all of them).  A context that is retired now is due at the second
 * call from now, unless an earlier call reached its @max.  Returns the number of
 * callbacks run, including those that free the library's own memory.
 * Errors: -EDEADLK inside a read section or a callback; -EOPNOTSUPP in
 * another mode; -ENOMEM.
 * Progress: blocks (for readers in their sections).
 */
SCTX_API int sctx_reclaim_poll(unsigned int max);

/* ------------------------------------------------------------------ pools */

enum sctx_pool {
	SCTX_POOL_PAGED, /* ordinary memory */
	SCTX_POOL_LOCKED /* never swapped out: mlock(2), within RLIMIT_MEMLOCK */
};

#define SCTX_TAGS_MAX 1024 /* of the process, ever */

/*
 * Memory under a tag (SCTX_TAG), 16-byte aligned, not zeroed.  NULL with errno
 * ENOMEM if out of memory or at the mlock limit; EINVAL for an unknown pool or a
 * tag of 0; ENOSPC for a new tag after SCTX_TAGS_MAX others.  A size of 0 gives
 * memory that can be freed.
 *
 * A fork's child does not inherit locks: memory from before the fork is ordinary
 * there, and what the child allocates is locked.  In the parent, the first write
 * to each page after a fork copies the page.
 *
 * Mirrors ExAllocatePoolWithTag.
 * Progress: the allocator's.  In section, in callback: yes.
 */
SCTX_API void *sctx_alloc(enum sctx_pool pool, size_t size, uint32_t tag);

/*
 * Free what sctx_alloc() returned under the same @tag (0: any tag).  NULL is no
 * error.
 * Errors, if the memory still shows them: -EINVAL, it was allocated with
 * another tag; -EBADF, freed before.  DEBUG builds abort on these.  They also
 * keep the last few hundred freed blocks, to detect a second free and a write
 * after the free.
 * Mirrors ExFreePoolWithTag.
 * Progress: the allocator's.  In section, in callback: yes.
 */
SCTX_API int sctx_free(void *memory, uint32_t tag);

struct sctx_tag_stats {
	uint32_t tag;
	uint64_t bytes;   /* in use, as requested */
	uint64_t objects; /* in use */
	uint64_t peak;    /* the most bytes in use that were seen */
};

/*
 * The peak is updated when a thread's unflushed delta reaches 64 KiB, at its
 * exit, and by this call.  It is below the true peak by less than 64 KiB for
 * each thread.  Bytes and objects are exact if no other thread is at work.
 *
 * Fill @stats, an array of structs of @size bytes (sizeof(*stats)), with the
 * first @n tags that were ever used, in order of first use.  @stats may be NULL.
 * Returns how many tags there are.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_tag_stats_get(struct sctx_tag_stats *stats, size_t size, size_t n);

/* ------------------------------------------------------------------ stats */

#define SCTX_LATENCY_BUCKETS 24

/* Of the process.  Events count from its start. */
struct sctx_stats {
	size_t size;              /* sizeof(struct sctx_stats), set by the caller */
	uint64_t limbo_bytes;     /* retired, not yet freed */
	uint64_t limbo_callbacks; /* the same, in callbacks */
	uint64_t limbo_age_ns;    /* of the oldest of them, rounded up */
	uint64_t callbacks_run;
	uint64_t grace_periods;
	/* Grace periods that took less than 1 us << i, and not less than half of it. */
	uint64_t grace_period_latency[SCTX_LATENCY_BUCKETS];
	uint64_t grace_period_ns; /* sum */
	uint64_t opens;           /* sctx_open() that succeeded */
	uint64_t creates;         /* those of them that created a stream */
	uint64_t closes;
	uint64_t last_closes; /* that left no open reference */
	uint64_t inserts; /* contexts linked: insert, replace, get_or_create, attach */
	uint64_t removes; /* contexts unlinked, by any call */
	uint64_t revivals;  /* opens of an idle stream */
	uint64_t evictions; /* idle streams dropped: for the limit, by trim, at the end */
	uint64_t refusals;  /* idle streams that may_drop kept */
	uint64_t forgets;
};

/*
 * Fill @stats.  Exact if no other thread is at work.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_stats_get(struct sctx_stats *stats);

struct sctx_registry_stats {
	size_t size;            /* sizeof(struct sctx_registry_stats), set by the caller */
	uint64_t streams;       /* open and idle */
	uint64_t buckets;       /* of the table, of 7 streams each */
	uint64_t overflows;     /* overflow buckets, chained to full ones */
	uint64_t longest_chain; /* in buckets, 1 without overflow */
	uint64_t tracked;       /* embedded streams */
	uint64_t owners;        /* registered */
	uint64_t idle;          /* streams */
	uint64_t idle_limit;
	uint64_t idle_bytes; /* of idle streams, estimated where bytes are limited, or 0 */
	uint64_t laps;       /* of the hand that looks for the oldest, over the table */
};

/*
 * Fill @stats by a walk over the table, which reads 64 bytes for seven slots.
 * Progress: blocks (for the walk).  In section, in callback: yes.
 */
SCTX_API int sctx_registry_stats_get(struct sctx_registry *registry,
				     struct sctx_registry_stats *stats);

struct sctx_owner_stats {
	size_t size; /* sizeof(struct sctx_owner_stats), set by the caller */
	char name[SCTX_OWNER_NAME_MAX + 1];
	uint32_t tag;
	bool leaving;      /* unregister has begun */
	uint64_t contexts; /* not yet freed */
	uint64_t attached; /* contexts created by attach */
	uint64_t attach_failures;
	uint64_t serial; /* differs between owners of the same name and tag */
};

/*
 * Call @fn for each owner of @registry, in order of registration.  An older
 * library lacks the members of @stats beyond @stats->size.  @fn must not register
 * or unregister owners.  A value other than 0 from @fn ends the walk and is
 * returned.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_registry_owners(struct sctx_registry *registry,
				  int (*fn)(const struct sctx_owner_stats *stats, void *arg),
				  void *arg);

enum sctx_format { SCTX_TEXT, SCTX_JSON, SCTX_PROMETHEUS };

/*
 * Print the statistics of the process, the tags, and, if it is not NULL,
 * @registry with its owners to @file.  The output is valid JSON or Prometheus text
 * whatever bytes the names have.
 * Errors: -EIO if @file could not be written; -ENOMEM.
 * Progress: blocks.  In section, in callback: yes; a @file that blocks holds up the
 * caller's own section.
 */
SCTX_API int sctx_stats_print(struct sctx_registry *registry, enum sctx_format format, FILE *file);

struct sctx_named_registry {
	struct sctx_registry *registry;
	const char *name; /* the label */
};

/*
 * sctx_stats_print() for @n registries in one scrape, each with a label.
 * Errors: as sctx_stats_print(); -EEXIST, two have the same name.
 * Progress, contexts: as sctx_stats_print().
 */
SCTX_API int sctx_stats_print_all(const struct sctx_named_registry *registry, size_t n,
				  enum sctx_format format, FILE *file);

/*
 * Print a line for each stream, with its contexts: registered owners by name
 * and tag, others by address.
 * Errors: -EIO; -ENOMEM.
 * Progress: blocks, on @file between its own read sections.  In section, in callback: yes;
 * a @file that blocks holds up the caller's own section.
 */
SCTX_API int sctx_registry_print(struct sctx_registry *registry, FILE *file);

/* Print a report of sctx_owner_unregister(), a line for each leak. */
SCTX_API int sctx_leaks_print(const struct sctx_leaks *leaks, FILE *file);

#ifdef __cplusplus
}
#endif

/*
 * With SCTX_INLINE defined before this header is included, the read section
 * and the lookup are compiled into the caller.
 */
#ifdef SCTX_INLINE
#include <streamctx/inline.h>
#endif

#endif /* STREAMCTX_H */
