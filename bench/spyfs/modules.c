/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Modules come as NAME.so from the folder that spyfs itself is in, and go
 * while it serves: after unload their code is unmapped.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store.h"

_Atomic(struct loaded *) modules[MODULES_MAX];

/* Of who loads and unloads, and of all places but for reading them one at a time. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* A module is here from load until unload has succeeded, and in modules[] while it is told. */
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

/* Next to the program, so that nothing need be installed. */
static void *code_load(const char *name, FILE *file)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;
	void *code;

	if (length < 0)
		length = 0;
	path[length] = '\0';
	slash = strrchr(path, '/');
	if (!slash || strchr(name, '/')) {
		fprintf(file, "error: no module %s\n", name);
		return NULL;
	}
	snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "%s.so", name);
	code = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!code)
		fprintf(file, "error: no module %s: %s\n", name, dlerror());
	return code;
}

static struct loaded *loaded_new(const char *name, const char *arg, FILE *file)
{
	struct loaded *module = calloc(1, sizeof(*module));

	if (!module)
		return NULL;
	if (arg)
		snprintf(module->arg, sizeof(module->arg), "%s", arg);
	module->code = code_load(name, file);
	module->ops = module->code ? dlsym(module->code, "spy_module") : NULL;
	if (module->ops)
		return module;
	if (module->code)
		dlclose(module->code);
	free(module);
	return NULL;
}

static void loaded_free(struct loaded *module)
{
	dlclose(module->code);
	free(module);
}

static int start(struct loaded *module, FILE *file)
{
	int error =
		module->ops->start ? module->ops->start(module->arg[0] ? module->arg : NULL) : 0;

	if (!error) {
		error = store->load(module);
		if (error && module->ops->stop)
			module->ops->stop();
	}
	if (error)
		fprintf(file, "error: %s: %s\n", module->ops->name, strerror(-error));
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
	module = loaded_new(name, arg, file);
	if (!module)
		return -ENOENT;
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
	char name[160];
	char *arg;
	int error;

	snprintf(name, sizeof(name), "%s", name_arg);
	arg = strchr(name, '=');
	if (arg)
		*arg++ = '\0';
	pthread_mutex_lock(&lock);
	error = load(name, arg, file);
	pthread_mutex_unlock(&lock);
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
		fprintf(file, "%s%s%s\n", known[i]->ops->name, known[i]->arg[0] ? "=" : "",
			known[i]->arg);
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
