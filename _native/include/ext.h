/* What the extension's sources share: the contract headers, and nothing else. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "native.cdef.h"
#include "layers.cdef.h"
#include "erofs.cdef.h"
