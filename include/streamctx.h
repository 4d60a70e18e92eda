/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * streamctx: per-stream contexts for storage daemons.
 *
 * Independent modules (owners) hang small records (contexts) on open streams.
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
 *   @size to sizeof the struct and the members that you do not use to 0.  The
 *   library reads members that an older program lacks as 0, and refuses a
 *   program that sets a member that an older library lacks: -E2BIG.  In
 *   results, @size comes back as how many bytes were filled, and what is behind
 *   them is 0.  A size that no release had is -EINVAL.
 *
 * Each comment ends in the function's row of this table.
 *
 *   Progress     wait-free: a bounded number of steps whatever others do;
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
 * fits as well.  Every value is valid, all zeros and all ones included.
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
 * A stream: the list that contexts hang on.  A plain struct, to be embedded
 * in an inode, a handle or a volume, and used by the registry as well.  All
 * fields are the library's.
 *
 *        0        8                32               56   64    66  68    72   80
 *        +--------+----------------+----------------+----+-----+---+-----+----+-------+
 *        | only   | inline_entry[0]| inline_entry[1]|list|state|age|opens|next|free_fn|
 *        +--------+----------------+----------------+----+-----+---+-----+----+-------+
 *
 * @list is either how many inline entries are in use, or the address of the
 * array that has taken over from them.  While it is 1, @only is that entry's
 * owner, and else NULL: most streams have one context, and it is found by one
 * comparison.  In the registry's own streams the 32-byte id stands just before,
 * so that id, @only and the first entry share one cache line.
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
		struct sctx_registry *registry; /* of a registry's own */
	};
};

/*
 * A context, embedded in its owner's structure.  Fields are the library's,
 * but @owner, @instance and @free_callback may be read by whoever holds a
 * reference (FSRTL_PER_STREAM_CONTEXT's OwnerId, InstanceId, FreeCallback).
 */
struct sctx_context {
	const void *owner;
	const void *instance;
	sctx_free_fn free_callback;
	struct sctx_stream *stream; /* where it hangs, NULL when nowhere */
	struct sctx_context *next;  /* in limbo */
	uint32_t refs;
	uint8_t in_limbo;
	uint8_t links; /* how often it was hung up; 0 only before the first time */
	uint16_t flags;
};

/* ---------------------------------------------------------- read sections */

/*
 * Begin and end a read section.  Pointers borrowed inside it (sctx_lookup,
 * sctx_find) stay valid until the outermost end.  Sections nest.  Keep them
 * short: what others retire waits for them.
 *
 * A thread attaches itself at its first section and detaches when it exits.
 * An exit inside a section ends the section with it.
 * The first call in a thread may need a little memory for the exit hook and
 * retries until it gets it; call sctx_thread_attach() first to get an error
 * instead.  After that, wait-free.
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
 * Errors: -ENOMEM, no memory or no key for the thread's exit hook; nothing
 * changed.
 * Progress: blocks (briefly).  In section, in callback: yes, does nothing.
 */
SCTX_API int sctx_thread_attach(void);

/*
 * Detach the calling thread: what it retired is handed to the reclaimer.
 * Needed only by a thread that lives on past the library's dlclose(); others
 * detach at exit.  Using the library again attaches again.
 * Errors: -EDEADLK inside a read section or a callback.
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_thread_detach(void);

/*
 * The qsbr flavour only (elsewhere a no-op): tell the reclaimer that this
 * thread is about to sleep or idle outside any section.  It comes back by
 * itself at its next section or update.  Between those a qsbr thread that
 * neither uses the library nor has called this holds up every grace period.
 * Does nothing inside a read section.
 * Progress: wait-free.
 */
SCTX_API void sctx_thread_offline(void);

/*
 * Say once, before any thread has used the library, that the daemon registers
 * all its threads with the same liburcu flavour by itself.  The library then
 * registers none but its own.
 * Errors: -EBUSY, a thread was already registered by the library;
 * -EOPNOTSUPP in the c11 flavour, which no host can share.
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_threads_registered_by_host(void);

/* --------------------------------------------------------------- contexts */

/* A FreeCallback that says: there is nothing to free. */
SCTX_API void sctx_no_free(struct sctx_context *ctx);
#define SCTX_NO_FREE sctx_no_free

/*
 * Initialise @ctx.  The caller holds its only reference.  @owner is any
 * non-NULL pointer that stands for the module; @instance tells several
 * contexts of one owner on one stream apart, NULL where there is just one.
 *
 * @free_callback is called once, with @ctx, after the last reference is put
 * and a grace period has passed: on the reclaimer's thread, outside any
 * read section, with no lock of the library held.  It may block on the owner's own locks and may call anything here that does
 * not wait.
 *
 * Errors: -EINVAL for a NULL @ctx, @owner or @free_callback.
 * Mirrors FsRtlInitPerStreamContext.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API int sctx_context_init(struct sctx_context *ctx, const void *owner, const void *instance,
			       sctx_free_fn free_callback);

/*
 * Take one more reference, for the caller, on a context that the caller holds
 * or has borrowed in its present read section.  Returns @ctx; NULL for NULL,
 * or if 2^31 references are out.
 * Mirrors FltReferenceContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API struct sctx_context *sctx_ref(struct sctx_context *ctx);

/*
 * Drop the caller's reference.  The last one retires the context: its
 * callback runs after a grace period.
 * Errors: the caller holds none, because the only one left is that of the
 * stream it hangs on (-EBUSY) or of limbo (-EBADF); nothing changed.
 * Mirrors FltReleaseContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_put(struct sctx_context *ctx);

/*
 * Unlink @ctx from the stream it hangs on, by pointer, and drop the stream's
 * reference.  The caller holds a reference, which stays good, or has borrowed
 * @ctx in its present read section.
 * Errors: -ENOENT, it hangs nowhere (any more).
 * Mirrors FltDeleteContext.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_detach(struct sctx_context *ctx);

/*
 * The stream that @ctx hangs on, or NULL.  The caller holds a reference on @ctx or has
 * borrowed it; the stream is borrowed: it is valid until the caller's read section ends.
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
 * Whether contexts can be inserted: false for NULL, for a disabled stream and
 * after teardown.
 * Mirrors FsRtlSupportsPerStreamContexts.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API bool sctx_stream_supports_contexts(const struct sctx_stream *stream);

/*
 * From now on @stream takes no context, and lookups and removes find nothing
 * (paging files).  Contexts that already hang on it stay until teardown.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_disable(struct sctx_stream *stream);

/*
 * Detach every context of @stream and refuse new ones.  Drops the stream's
 * references: the callbacks of contexts that nobody else holds run after a
 * grace period.  After it returns no insert succeeds and no lookup finds.
 * Tearing down twice is no error.
 *
 * Readers may still be looking at @stream itself: free an embedding structure
 * through sctx_stream_retire() or after sctx_teardown_sync().
 *
 * Errors, of every teardown here: -EPERM, @stream is a registry's, which tears it down by
 * itself.  To be rid of one, forget it (sctx_forget) and close it.
 *
 * Mirrors FsRtlTeardownPerStreamContexts, whose callbacks run synchronously.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_teardown(struct sctx_stream *stream);

/*
 * sctx_teardown(), then wait until every callback that it led to has returned
 * and no reader is left in @stream: the memory around it may then be freed.
 * A context that someone else holds a reference on is called back when that
 * holder puts it, and is not waited for.
 * Errors: -EDEADLK inside a read section or a callback; -EAGAIN or -ENOMEM,
 * the reclaimer's thread could not be started.  With -EDEADLK nothing
 * changed; with the others @stream is torn down but must not be freed yet:
 * call again.
 * Mirrors FsRtlTeardownPerStreamContexts.
 * Progress: blocks.
 */
SCTX_API int sctx_teardown_sync(struct sctx_stream *stream);

/*
 * sctx_teardown(), then hand the memory around @stream to the reclaimer:
 * @free_fn(@stream) is called after a grace period, as a FreeCallback is.
 * The caller must not use @stream afterwards.
 * Errors: -EALREADY, retired before; -EPERM, the stream is a registry's,
 * which retires it by itself at the last close.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_retire(struct sctx_stream *stream,
				void (*free_fn)(struct sctx_stream *stream));

/*
 * sctx_teardown(), with @fn called first for each context that still hangs on
 * @stream, borrowed, newest first: for contexts that their owners were to
 * remove by themselves, such as those of a file handle at its close.  @fn may
 * be NULL.  Returns how many there were.
 * Mirrors the teardown of FsRtl...PerFileObjectContext, which leaks them.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_teardown_report(struct sctx_stream *stream,
				  void (*fn)(struct sctx_context *ctx, void *arg), void *arg);

/*
 * A stream behind a pointer, allocated when first needed, for files most of
 * which never get a context: *@slot, NULL until then, is set once, to the
 * stream that all callers get.  Readers take it with sctx_stream_load() and pass
 * it on, NULL as well: there lookup, get and remove find nothing.
 * Errors: -ENOMEM.
 * Mirrors FsRtlInsertPerFileContext's control block.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_create(struct sctx_stream **slot, struct sctx_stream **stream);

/* *@slot as it is now; NULL if no stream was created yet, or for NULL. */
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
 * Borrow the context that matches: valid until the caller's read section
 * ends.  Call it inside one.  NULL if none, or if @stream is NULL.
 * Mirrors FsRtlLookupPerStreamContext.
 * Progress: wait-free.  In section: required.  In callback: yes.
 */
#ifndef SCTX_INLINE
SCTX_API struct sctx_context *sctx_lookup(const struct sctx_stream *stream, const void *owner,
					  const void *instance);
#endif

/*
 * As sctx_lookup(), with a reference for the caller: valid until sctx_put().
 * @stream must stay valid during the call (open, or borrowed in a section).
 * Mirrors FltGetStreamContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API struct sctx_context *sctx_get(const struct sctx_stream *stream, const void *owner,
				       const void *instance);

/*
 * sctx_get() for each of @n owners, in one section: @ctx[i] is the newest
 * context of @owner[i], or NULL.  Returns how many were found.
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
 * Hang @ctx on @stream as its newest.  The caller's reference moves to the
 * stream; on failure it stays with the caller.  Duplicates are not checked.
 * Errors: -EBUSY, @ctx hangs on a stream already; -EBADF, its last reference
 * was put (though the caller has taken one on the borrowed context since: wait
 * with sctx_barrier()); -EOPNOTSUPP, the stream is disabled or was never
 * initialised (zeroed); -ESHUTDOWN, it was torn down; -ENOMEM;
 * -EAGAIN, limbo is at its limit and the caller cannot wait (in a read
 * section or callback, or SCTX_RECLAIM_NOWAIT), or the reclaimer's thread
 * could not be started.  A registered owner that is leaving: -ESHUTDOWN.
 * Mirrors FsRtlInsertPerStreamContext.
 * Progress: stream lock; at the limbo limit, blocks until below it.
 * In section, in callback: yes, with -EAGAIN instead of waiting.
 */
SCTX_API int sctx_insert(struct sctx_stream *stream, struct sctx_context *ctx);

/*
 * sctx_insert(), unless a lookup of @ctx's (owner, instance) finds a context.
 * Then -EEXIST, and if @existing is not NULL, *@existing is that context with
 * a reference for the caller.  *@existing is NULL in every other case.
 * Errors: as sctx_insert(), and -EEXIST.
 * Mirrors FltSetStreamContext with FLT_SET_CONTEXT_KEEP_IF_EXISTS.
 * Progress, contexts: as sctx_insert().
 */
SCTX_API int sctx_insert_unique(struct sctx_stream *stream, struct sctx_context *ctx,
				struct sctx_context **existing);

/*
 * Put @ctx in the place of the context that a lookup of its (owner, instance)
 * finds; insert it if there is none.  Readers find one or the other at every
 * instant.  *@old gets the replaced context with the stream's reference, or
 * NULL; with a NULL @old that reference is dropped.
 * Errors: as sctx_insert().
 * Mirrors FltSetStreamContext with FLT_SET_CONTEXT_REPLACE_IF_EXISTS.
 * Progress, contexts: as sctx_insert().
 */
SCTX_API int sctx_replace(struct sctx_stream *stream, struct sctx_context *ctx,
			  struct sctx_context **old);

/*
 * Makes a context with (@owner, @instance) as given to get_or_create, one
 * reference, not linked; NULL if it cannot.  Called with no lock held.
 */
typedef struct sctx_context *(*sctx_create_fn)(const void *owner, const void *instance, void *arg);

/*
 * Get the context that matches or, if there is none, create one and insert
 * it, atomically: of several callers one's context wins and all get it, each
 * with a reference; a loser's own is dropped through its callback.
 * Errors: as sctx_insert(); -EOVERFLOW, 2^31 references are out on what was
 * found; -ENOMEM if @create returned NULL; -EINVAL for a
 * NULL @owner, or if @create's context has another owner or instance (it is
 * then dropped); -EBUSY if it was linked (it is then left alone).
 * Progress: found: lock-free; else as sctx_insert().
 */
SCTX_API int sctx_get_or_create(struct sctx_stream *stream, const void *owner, const void *instance,
				sctx_create_fn create, void *arg, struct sctx_context **ctx);

/*
 * Unlink the first match and return it; the stream's reference moves to the
 * caller and no callback is called.  NULL if none.  The caller may free the
 * context at once if no other thread can hold a borrowed or counted pointer
 * to it; otherwise it calls sctx_put().
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
 * Create an empty table from stream ids to open streams.  It grows by itself,
 * shared among its writers, and does not shrink.
 * Errors: -ENOMEM; -EOVERFLOW, the allocator's addresses need more than 48
 * bits (pointers with a tag in their upper byte do); or what getrandom(2)
 * failed with.
 * Progress: blocks (briefly).
 */
SCTX_API int sctx_registry_create(struct sctx_registry **registry);

/*
 * Destroy @registry.  No other thread may be using it.  Idle streams are torn down; may_drop
 * is not asked.
 * Errors: -EBUSY, streams are open or tracked, or owners are registered;
 * nothing changed.  sctx_registry_close_all() closes what is open.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_registry_destroy(struct sctx_registry *registry);

#define SCTX_OPEN_EXISTING 0x1u /* never create: -ENOENT if @id is not open */
#define SCTX_OPEN_NOWAIT   0x2u /* -EAGAIN rather than wait at the limbo limit */

/*
 * Find the stream named @id, open or idle, or create it, and take an open reference on it
 * for the caller: *@stream stays valid until the caller's sctx_close().
 * Errors: -ENOENT, not there and SCTX_OPEN_EXISTING; -ENOMEM, also for memory
 * at an address of more than 48 bits; -EOVERFLOW, 2^28 open references; -EAGAIN
 * as for sctx_insert(), also with SCTX_OPEN_NOWAIT; what the attach of an
 * owner with SCTX_OWNER_REQUIRED failed with.
 * Progress: stream exists: lock-free; else bucket lock, and at the limbo
 * limit blocks until below it.  Where idle streams are kept and too many are, an open that
 * creates a stream also looks at up to 512 buckets and drops up to 32 idle streams, with
 * the lock of one bucket at a time.  In section, in callback: yes, with -EAGAIN
 * instead of waiting.
 */
SCTX_API int sctx_open(struct sctx_registry *registry, const struct sctx_id *id, unsigned int flags,
		       struct sctx_stream **stream);

/*
 * sctx_open() that hands @arg to the attach of the owners if it creates the stream: a
 * descriptor, a path.
 * Errors, progress, contexts: as sctx_open().
 */
SCTX_API int sctx_open_arg(struct sctx_registry *registry, const struct sctx_id *id,
			   unsigned int flags, void *arg, struct sctx_stream **stream);

/*
 * Take one more open reference on @stream, which the caller has open, or has borrowed in
 * its present read section (an idle stream is opened again).
 * Errors: -ESTALE, it was borrowed, and has been dropped; -EOVERFLOW, 2^28 open references;
 * -EPERM, @stream is not a registry's.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_ref(struct sctx_stream *stream);

/*
 * sctx_open() for each of @n ids, an array, into @stream[0] to @stream[n - 1]:
 * what has to be fetched from memory is fetched for many of them at once.
 * Each is opened or not by itself: returns 0 if all were opened, or what the
 * first failure was; those that failed have NULL in @stream, and the others
 * are the caller's to close.  An id may occur more than once.
 * Errors, progress, contexts: as sctx_open().
 */
SCTX_API int sctx_open_many(struct sctx_registry *registry, const struct sctx_id *id,
			    unsigned int n, unsigned int flags, struct sctx_stream **stream);

/*
 * Drop one open reference.  The last one leaves the stream idle if the registry keeps idle
 * streams (sctx_registry_idle), unless it was forgotten; otherwise it takes the stream out of
 * the registry and tears it down.  Never waits, never fails for want of memory.
 * Errors: -EBADF, no open reference is left (seen only while @stream's memory
 * is still valid: inside the read section in which it was borrowed);
 * -EPERM, @stream is not a registry's.
 * Progress: not the last, or the last into idle: lock-free; else bucket and stream lock.
 * In section, in callback: yes.
 */
SCTX_API int sctx_close(struct sctx_stream *stream);

/*
 * Drop @n open references at once.  Returns 1 if they were the last, or 0.
 * Errors: as sctx_close(); -EBADF if fewer than @n are left, nothing changed; -EINVAL for an
 * @n of 0.
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
 * The file named @id was deleted or replaced.  An idle stream is torn down now.  An open one
 * leaves the table now, and is torn down at its last close; from now on an open of @id gets a
 * new stream beside it.
 * Errors: -ENOENT, no such stream.
 * Progress: bucket and stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_forget(struct sctx_registry *registry, const struct sctx_id *id);

/*
 * Drop every open reference on every stream and tear the streams down: for a shutdown with
 * streams still open.  Calls @fn first for each of them, borrowed; @fn may be NULL.  Nobody may
 * close afterwards what was open before.  Idle streams stay.  Returns how many streams were
 * open.
 * Errors: -ENOMEM.
 * Progress: bucket and stream locks, one at a time; may wait at the limbo limit.
 * In section, in callback: yes, without waiting.
 */
SCTX_API int sctx_registry_close_all(struct sctx_registry *registry,
				     void (*fn)(struct sctx_stream *stream, void *arg), void *arg);

/* A registry's stream; an embedded one is open until it is torn down. */
enum sctx_stream_state {
	SCTX_STREAM_OPEN,
	SCTX_STREAM_IDLE,      /* no open reference; found, and opened again, by its id */
	SCTX_STREAM_FORGOTTEN, /* open, and not found by its id any more */
	SCTX_STREAM_DEAD       /* torn down */
};

/*
 * What @stream, borrowed or open, is just now; DEAD for NULL.
 * Progress: wait-free.  In section, in callback: yes.
 */
SCTX_API enum sctx_stream_state sctx_stream_state(const struct sctx_stream *stream);

struct sctx_idle_options {
	size_t size;          /* sizeof(struct sctx_idle_options) */
	size_t limit_streams; /* idle streams to keep; 0: none, a last close ends its stream */
	size_t limit_bytes;   /* of their nodes, arrays and sctx_context_alloc()ed contexts; 0: any */

	/*
	 * Whether an idle stream may be dropped: 0, or -EAGAIN to keep it for another round.
	 * Called with no lock held, in a read section: it may take the user's own locks, and
	 * may call all that does not wait.  Not asked by forget and destroy.  Optional.
	 */
	int (*may_drop)(struct sctx_stream *stream, void *arg);
	void *arg;
};

/*
 * Keep streams after their last close, with their contexts: idle.  An open finds them again,
 * and so do sctx_find() and sctx_registry_for_each().  When an open creates a stream and
 * more than the limit are idle, the oldest are dropped: torn down and retired, as without
 * a limit at the last close.
 *
 * The limit is a soft one.  Open streams do not count.  Beyond it may stand, for a limit of
 * L: L/16 streams, at most 16; L/16 of each thread, at most 32; what may_drop keeps; and what
 * was closed since a stream was created last.  Bytes are estimated from what is looked at.
 *
 * May be called at any time.  A lower limit drops streams before it returns.
 * Errors: -ENOMEM; -EDEADLK inside a read section or a callback; nothing changed.
 * Progress: blocks (for readers in their sections).
 */
SCTX_API int sctx_registry_idle(struct sctx_registry *registry,
				const struct sctx_idle_options *options);

/*
 * Memory is short: drop idle streams, the oldest first, until @keep are left (0: all), at
 * most @max of them (0: as many as it takes).  may_drop is asked.  Returns how many were
 * dropped.
 * Progress: bucket and stream locks, one at a time; without @max, may wait at the limbo
 * limit.  In section, in callback: yes, without waiting.
 */
SCTX_API int64_t sctx_registry_trim(struct sctx_registry *registry, uint64_t keep, uint64_t max);

/*
 * Borrow the stream named @id, open or idle: valid until the caller's read section
 * ends.  Call it inside one.  NULL if there is none, or for NULL arguments.
 * Progress: wait-free.  In section: required.  In callback: yes.
 */
SCTX_API struct sctx_stream *sctx_find(struct sctx_registry *registry, const struct sctx_id *id);

/* The id that @stream was opened with; NULL if it is not a registry's. */
SCTX_API const struct sctx_id *sctx_stream_id(const struct sctx_stream *stream);

/*
 * Call @fn for each stream, open, idle or forgotten (sctx_stream_state), inside a read
 * section (a new one every few streams), with the stream borrowed.  A stream that is there
 * throughout is visited once; one created or dropped meanwhile, at most once.  @fn may open,
 * close and forget streams, this one and others.  It must return: no longjmp, no exception.
 * A value other than 0 from @fn ends the walk and is returned.
 * Errors: -ENOMEM.
 * Progress: bucket lock.  In section, in callback: yes.
 */
SCTX_API int sctx_registry_for_each(struct sctx_registry *registry,
				    int (*fn)(struct sctx_stream *stream, void *arg), void *arg);

/* ----------------------------------------------------------------- owners */

/*
 * A module that comes and goes.  Its address is the owner id of its contexts,
 * which come from sctx_context_alloc() or sctx_owner_context_init() and from
 * nowhere else, and end with sctx_put(): so the library knows when the last
 * of them is gone, and the module's code may be unmapped.
 */
struct sctx_owner;

/* Four characters that name memory, and whose it is. */
#define SCTX_TAG(a, b, c, d)                                                \
	((uint32_t)(unsigned char)(a) | (uint32_t)(unsigned char)(b) << 8 | \
	 (uint32_t)(unsigned char)(c) << 16 | (uint32_t)(unsigned char)(d) << 24)

#define SCTX_OWNER_NAME_MAX 31 /* characters */
#define SCTX_ATTACH_MAX     32 /* owners of a registry that attach at open */

#define SCTX_OWNER_REQUIRED 0x1u /* an attach that fails fails the open */
#define SCTX_OWNER_LOCKED   0x2u /* contexts in memory that is never swapped out */

struct sctx_owner_ops {
	size_t size;      /* sizeof(struct sctx_owner_ops) */
	const char *name; /* copied */
	uint32_t tag;     /* SCTX_TAG('S', 'p', 'y', ' ') */
	unsigned int flags;
	size_t context_size; /* bytes that sctx_context_alloc() adds to each context */

	/*
	 * Make the context of a stream that is being created, with the
	 * caller's reference, in *@ctx: it is linked before anyone can see the
	 * stream.  Leave *@ctx NULL to decline.  On a negative errno the open
	 * fails with it if the owner is SCTX_OWNER_REQUIRED, and goes on
	 * without this owner otherwise.  Called with no lock held and outside
	 * any section of the library's, on the thread that opens; may block.
	 * The stream may still turn out to have been created by another
	 * thread: then *@ctx is unlinked and freed again.  @arg is that of
	 * sctx_open_arg(), or NULL.  Optional.
	 */
	int (*attach)(struct sctx_owner *owner, const struct sctx_id *id, void *arg,
		      struct sctx_context **ctx);

	/*
	 * @ctx was unlinked, by whatever: remove, replace, teardown,
	 * unregister.  Called once for each time that it was linked, before
	 * the call that unlinked it returns, with no lock held and @ctx good.
	 * It runs in a read section: it may take the module's own locks, and
	 * may call all that does not wait.  Optional.
	 */
	void (*detached)(struct sctx_context *ctx);

	/*
	 * The FreeCallback (sctx_context_init()), after the last reference was
	 * put and a grace period.  Memory from sctx_context_alloc() is freed
	 * after it returns.  Required with sctx_owner_context_init(), else
	 * optional.
	 */
	void (*free)(struct sctx_context *ctx);

	void *arg; /* sctx_owner_arg() */

	/*
	 * The last open reference of the stream that @ctx hangs on was closed, and the stream
	 * is kept; an idle stream was opened again.  The two alternate for each context,
	 * beginning with idle, whatever races: a stream that is closed and opened at once may
	 * be told of neither.  Called before the close or open returns, unless another thread
	 * is just calling them for the same stream: that thread goes on with it then.  Rules
	 * as for detached.  A stream that is dropped is not revived before.  Optional.
	 */
	void (*idle)(struct sctx_context *ctx);
	void (*revived)(struct sctx_context *ctx);
};

/*
 * Register a module.  Streams that are open already get no context by
 * themselves.
 * Errors: -ENOSPC, SCTX_ATTACH_MAX owners attach already; -ENOMEM.
 * Mirrors FltRegisterFilter.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_owner_register(struct sctx_registry *registry, const struct sctx_owner_ops *ops,
				 struct sctx_owner **owner);

/* What it was registered with.  @owner stays valid while a context of it lives. */
SCTX_API const char *sctx_owner_name(const struct sctx_owner *owner);
SCTX_API uint32_t sctx_owner_tag(const struct sctx_owner *owner);
SCTX_API void *sctx_owner_arg(const struct sctx_owner *owner);

/*
 * A new context of @owner's: struct sctx_context, then context_size + @extra
 * bytes (zeroed) that are the module's: sctx_context_data().  The caller holds
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
 * As sctx_context_init(), for a context embedded in a structure that the
 * module allocates: its ops.free is the FreeCallback.
 * Errors: -EINVAL if it has none; -ESHUTDOWN, @owner is leaving.
 * Mirrors FsRtlInitPerStreamContext.
 * Progress: lock-free.  In section, in callback: yes.
 */
SCTX_API int sctx_owner_context_init(struct sctx_owner *owner, struct sctx_context *ctx,
				     const void *instance);

/*
 * Tell @registry of an embedded stream, so that owners who leave find their
 * contexts on it.  Teardown takes it off again.
 * Errors: -EALREADY, tracked already; -ESHUTDOWN, torn down; -EOPNOTSUPP,
 * disabled or never initialised; -EPERM, a registry's own; -ENOMEM.
 * Progress: stream lock.  In section, in callback: yes.
 */
SCTX_API int sctx_stream_track(struct sctx_registry *registry, struct sctx_stream *stream);

#define SCTX_LEAKS_LISTED 8
#define SCTX_LEAK_SITES   4

/* A context that someone holds a reference on.  This struct cannot grow. */
struct sctx_leak {
	const struct sctx_context *ctx; /* an address, for comparing */
	const void *instance;
	bool has_id;                           /* it hung on a registry's stream: */
	struct sctx_id id;                     /* of this id */
	const void *taken_at[SCTX_LEAK_SITES]; /* DEBUG builds: code that took references */
};

struct sctx_leaks {
	size_t size; /* sizeof(struct sctx_leaks), set by the caller */
	char name[SCTX_OWNER_NAME_MAX + 1];
	uint32_t tag;
	uint64_t held;       /* contexts of the owner that are not freed */
	unsigned int listed; /* those of them that are known by name */
	struct sctx_leak leak[SCTX_LEAKS_LISTED];
};

/*
 * The module leaves: refuse new contexts of it, unlink those on every stream
 * of its registry and on the embedded streams that the registry was told of,
 * wait until its callbacks have returned, and forget it.  After 0 the library
 * calls the module no more, and its code may be unmapped.
 *
 * A context that someone still holds stays good until it is put: then -EBUSY,
 * with a report in *@leaks (which may be NULL), and the owner goes on
 * refusing.  Call again when the holders have let go.
 * Errors: -EBUSY; -ENOENT, not a registered owner; -EALREADY, another thread
 * is at it; -EDEADLK inside a read section or a callback; -EAGAIN or -ENOMEM,
 * the reclaimer's thread could not be started (call again).
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
 *   thread  the library's own, started when first needed.
 *   poll    whoever calls sctx_reclaim_poll(), an event loop.  Nobody waits
 *           at the limit: creators get -EAGAIN.
 * In poll mode sctx_barrier(), and what waits likewise, does the work on the
 * calling thread.
 */
enum sctx_reclaim_mode { SCTX_RECLAIM_THREAD, SCTX_RECLAIM_POLL };

#define SCTX_RECLAIM_NOWAIT 0x1u /* at the limit creators get -EAGAIN, none waits */

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
 * Set limits and mode of limbo, for the whole process.  At a limit what
 * creates (open of a new stream, insert) waits or gets -EAGAIN; what releases
 * never waits and never fails.  Threads account in batches, so limbo may stand
 * over a limit by up to 1/64 of it for each thread (of what the limit was when
 * the thread last retired something).  Bytes are those that the library knows
 * of: streams, arrays, tables and the contexts' own headers; each of these
 * counts as one callback.
 * Errors: -EINVAL for a limit of 0, or an unknown flag or mode; -EDEADLK, a change of mode inside a callback or a
 * read section; nothing changed.
 * Progress: blocks (briefly; away from the thread mode, until that thread has
 * ended).  In section, in callback: yes, but for a change of mode.
 */
SCTX_API int sctx_reclaim_configure(const struct sctx_reclaim_options *options);

/*
 * In poll mode, now and then, from a timer or when idle: wait for a grace
 * period, if anything was retired, and run at most @max of the callbacks that
 * are due (0: all of them).
 * What is retired now is due at the second call from now, unless an earlier
 * one reached its @max.  Returns how many were run, those that free the
 * library's own memory included.
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
 * Memory by tag (SCTX_TAG), 16-byte aligned, not zeroed.  NULL with errno
 * ENOMEM if there is none, or no more may be locked; EINVAL for an unknown
 * pool or a tag of 0; ENOSPC for a new tag after SCTX_TAGS_MAX others.  A size
 * of 0 gives memory that can be freed.
 *
 * Locks are not inherited by fork(2): in the child, what was allocated before
 * is ordinary memory, and what the child allocates is locked.  In the parent
 * the first write to each page after a fork copies it.
 *
 * Mirrors ExAllocatePoolWithTag.
 * Progress: the allocator's.  In section, in callback: yes.
 */
SCTX_API void *sctx_alloc(enum sctx_pool pool, size_t size, uint32_t tag);

/*
 * Free what sctx_alloc() returned under the same @tag (0: whatever it was);
 * NULL is no error.
 * Errors, as far as the memory still shows them: -EINVAL, @tag is not the one
 * it was allocated with; -EBADF, freed before.  DEBUG builds stop there, keep
 * the last few hundred blocks that were freed so as to know them, and stop at
 * one that was written to meanwhile.
 * Mirrors ExFreePoolWithTag.
 * Progress: the allocator's.  In section, in callback: yes.
 */
SCTX_API int sctx_free(void *memory, uint32_t tag);

struct sctx_tag_stats {
	uint32_t tag;
	uint64_t bytes;   /* as asked for, in use */
	uint64_t objects; /* in use */
	uint64_t peak;    /* most bytes in use, as far as it was seen */
};

/*
 * The peak is seen whenever a thread has allocated or freed 64 KiB more than
 * it has told of, at its exit, and by this call: below the true one by less
 * than 64 KiB for each thread.  Bytes and objects are exact when no other
 * thread is at work.
 *
 * Fill @stats, an array of structs of @size bytes (sizeof(*stats)), with the
 * first @n tags that were ever used, in order of first use.  @stats may be NULL.
 * Returns how many tags there are.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_tag_stats_get(struct sctx_tag_stats *stats, size_t size, size_t n);

/* ------------------------------------------------------------------ stats */

#define SCTX_LATENCY_BUCKETS 24

/* Of the process.  Events count from its beginning. */
struct sctx_stats {
	size_t size;              /* sizeof(struct sctx_stats), set by the caller */
	uint64_t limbo_bytes;     /* retired, not yet freed */
	uint64_t limbo_callbacks; /* the same, in callbacks */
	uint64_t limbo_age_ns;    /* of the oldest of them, or somewhat more */
	uint64_t callbacks_run;
	uint64_t grace_periods;
	/* Grace periods that took less than 1 us << i, and not less than half of it. */
	uint64_t grace_period_latency[SCTX_LATENCY_BUCKETS];
	uint64_t grace_period_ns; /* sum */
	uint64_t opens;           /* sctx_open() that succeeded */
	uint64_t creates;         /* of them: of a new stream */
	uint64_t closes;
	uint64_t last_closes; /* that left no open reference */
	uint64_t inserts; /* contexts linked: insert, replace, get_or_create, attach */
	uint64_t removes; /* contexts unlinked, by whatever */
	uint64_t revivals;  /* opens of an idle stream */
	uint64_t evictions; /* idle streams dropped: for the limit, by trim, at the end */
	uint64_t refusals;  /* times that may_drop kept one */
	uint64_t forgets;
};

/*
 * Fill @stats.  Exact when no other thread is at work.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_stats_get(struct sctx_stats *stats);

struct sctx_registry_stats {
	size_t size;            /* sizeof(struct sctx_registry_stats), set by the caller */
	uint64_t streams;       /* open and idle */
	uint64_t buckets;       /* of the table, of 7 streams each */
	uint64_t overflows;     /* buckets chained to others because those were full */
	uint64_t longest_chain; /* in buckets, 1 without overflow */
	uint64_t tracked;       /* embedded streams */
	uint64_t owners;        /* registered */
	uint64_t idle;          /* streams */
	uint64_t idle_limit;
	uint64_t idle_bytes; /* of idle streams, estimated where bytes are limited, or 0 */
	uint64_t laps;       /* of the hand that looks for the oldest */
};

/*
 * Fill @stats by a walk over the table: 64 bytes for each seven streams.
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
	uint64_t attached; /* contexts made by attach */
	uint64_t attach_failures;
};

/*
 * Call @fn for each owner of @registry, in order of registration.  Members of
 * @stats beyond @stats->size, in an older library, are not there.  @fn must
 * not register or unregister.  A value other than 0 ends the walk and is
 * returned.
 * Progress: blocks (briefly).  In section, in callback: yes.
 */
SCTX_API int sctx_registry_owners(struct sctx_registry *registry,
				  int (*fn)(const struct sctx_owner_stats *stats, void *arg),
				  void *arg);

enum sctx_format { SCTX_TEXT, SCTX_JSON, SCTX_PROMETHEUS };

/*
 * Print all of the above to @file: the process, the tags, and @registry with
 * its owners, if it is not NULL.
 * Errors: -EIO if @file could not be written.
 * Progress: blocks.  In section, in callback: yes.
 */
SCTX_API int sctx_stats_print(struct sctx_registry *registry, enum sctx_format format, FILE *file);

/*
 * Print a line for each open stream, with the contexts that hang on it: owners
 * by name and tag where they are registered, by address otherwise.
 * Errors: -EIO.
 * Progress: blocks.  In section, in callback: yes.
 */
SCTX_API int sctx_registry_print(struct sctx_registry *registry, FILE *file);

/* Print what sctx_owner_unregister() reported, a line for each leak. */
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
