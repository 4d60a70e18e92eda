/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules are loaded from NAME.so in the program's own folder, and unloaded
 * while spyfs serves: their code is unmapped.
 */
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

_Atomic(struct loaded *) modules[MODULES_MAX];

/* Serialises load and unload, and protects known[] and every write to modules[]. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Loaded modules; modules[] has those of them that get events. */
static struct loaded *known[MODULES_MAX];

static int find(const char *name)
{
	for (int i = 0; i < MODULES_MAX; i++)
		if (known[i] && strcmp(known[i]->ops->name, name) == 0)
			return i;
	return -1;
}

static int find_free(void)
{
	for (int i = 0; i < MODULES_MAX; i++)
		if (!known[i])
			return i;
	return -1;
}

/* The path of module @name, to be freed; NULL with errno for an invalid name. */
static char *code_path(const char *name)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program));
	char *slash, *path;

	if (length < 0)
		return NULL;
	if (length == sizeof(program) || !*name || strchr(name, '/')) {
		errno = EINVAL;
		return NULL;
	}
	program[length] = '\0';
	slash = strrchr(program, '/');
	return asprintf(&path, "%.*s/%s.so", (int)(slash - program), program, name) < 0 ? NULL
											: path;
}

static void *code_load(const char *name, FILE *file)
{
	char *path = code_path(name);
	void *code = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;

	if (!code)
		fprintf(file, "error: no module %s: %s\n", name,
			path ? dlerror() : strerror(errno));
	free(path);
	return code;
}

static void loaded_free(struct loaded *module)
{
	if (module->code)
		dlclose(module->code);
	free(module->arg);
	free(module);
}

static int loaded_new(const char *name, const char *arg, struct loaded **loaded, FILE *file)
{
	struct loaded *module = calloc(1, sizeof(*module));

	if (!module || (arg && *arg && !(module->arg = strdup(arg)))) {
		free(module);
		fprintf(file, "error: %s: %s\n", name, strerror(ENOMEM));
		return -ENOMEM;
	}
	module->code = code_load(name, file);
	module->ops = module->code ? dlsym(module->code, "spy_module") : NULL;
	if (module->ops) {
		*loaded = module;
		return 0;
	}
	if (module->code)
		fprintf(file, "error: %s is no module\n", name);
	loaded_free(module);
	return -ENOENT;
}

static int start(struct loaded *module, FILE *file)
{
	int error = module->ops->start ? module->ops->start(module->arg) : 0;

	if (!error) {
		error = store->load(module);
		if (error && module->ops->stop)
			module->ops->stop();
	}
	if (error)
		fprintf(file, "error: %s%s%s: %s\n", module->ops->name, module->arg ? "=" : "",
			module->arg ? module->arg : "", strerror(-error));
	return error;
}

static int load(const char *name, const char *arg, FILE *file)
{
	struct loaded *module;
	int place = find_free();
	int error;

	if (find(name) >= 0 || place < 0) {
		fprintf(file, "error: %s: %s\n", name,
			place < 0 ? "too many modules" : "loaded already");
		return -EEXIST;
	}
	error = loaded_new(name, arg, &module, file);
	if (error)
		return error;
	error = start(module, file);
	if (error) {
		loaded_free(module);
		return error;
	}
	known[place] = module;
	modules[place] = module;
	return 0;
}

int modules_load(const char *name_arg, FILE *file)
{
	char *name = strdup(name_arg);
	char *arg;
	int error;

	if (!name) {
		fprintf(file, "error: %s\n", strerror(ENOMEM));
		return -ENOMEM;
	}
	arg = strchr(name, '=');
	if (arg)
		*arg++ = '\0';
	pthread_mutex_lock(&lock);
	error = load(name, arg, file);
	pthread_mutex_unlock(&lock);
	free(name);
	return error;
}

static int unload(int place, FILE *file)
{
	struct loaded *module = known[place];
	int error;

	modules[place] = NULL;
	error = store->unload(module, file);
	if (error) {
		fprintf(file, "error: %s: %s\n", module->ops->name, strerror(-error));
		return error;
	}
	known[place] = NULL;
	if (module->ops->stop)
		module->ops->stop();
	loaded_free(module);
	return 0;
}

int modules_unload(const char *name, FILE *file)
{
	int error = -ENOENT;
	int place;

	pthread_mutex_lock(&lock);
	place = find(name);
	if (place < 0)
		fprintf(file, "error: %s is not loaded\n", name);
	else
		error = unload(place, file);
	pthread_mutex_unlock(&lock);
	return error;
}

int modules_unload_all(FILE *file)
{
	int error = 0;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < MODULES_MAX; i++)
		if (known[i] && unload(i, file))
			error = -EBUSY;
	pthread_mutex_unlock(&lock);
	return error;
}

void modules_list(FILE *file)
{
	bool any = false;

	pthread_mutex_lock(&lock);
	for (int i = 0; i < MODULES_MAX; i++) {
		if (!known[i])
			continue;
		any = true;
		fprintf(file, "%s%s%s\n", known[i]->ops->name, known[i]->arg ? "=" : "",
			known[i]->arg ? known[i]->arg : "");
	}
	if (!any)
		fputs("no modules\n", file);
	pthread_mutex_unlock(&lock);
}

void modules_metrics(FILE *file)
{
	pthread_mutex_lock(&lock);
	for (int i = 0; i < MODULES_MAX; i++)
		if (known[i] && known[i]->ops->metrics)
			known[i]->ops->metrics(file);
	pthread_mutex_unlock(&lock);
}
