// SPDX-License-Identifier: Apache-2.0
// The element type of all kernels: float, or double when compiled as the oracle (MOESWEEP_F64).
#ifndef KERNELS_REAL_H
#define KERNELS_REAL_H
#ifdef MOESWEEP_F64
typedef double real;
#else
typedef float real;
#endif
// An element of what forward keeps for backward and products read: a real on the CPU. A device
// may store it in fewer bytes (ops.h), so that only operations may look inside or count in it.
typedef real act;
#endif
