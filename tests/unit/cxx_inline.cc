/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* cxx.cc with the read section and the lookup compiled in. */
#define SCTX_INLINE
#include "cxx.cc"

#ifndef STREAMCTX_INLINE_H
#error "SCTX_INLINE inlines nothing"
#endif
