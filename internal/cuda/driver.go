//go:build cuda

package cuda

/*
#cgo LDFLAGS: -llongtake_kernels -lcuda -ldl
#include <cuda.h>
#include <stdlib.h>

// What the trampoline in place of libcuda knows (kernels/driver).
extern const char* longtake_driver_missing(void);

// The kernels, linked into the program (kernels/Makefile).
extern const char longtake_kernels;
extern const long long longtake_kernels_bytes;

// What gorgonia.org/cu lacks: pinned memory, a function's consent to more shared memory, and copies
// of rows, which it refuses without an array.
static CUresult pinned(void** p, size_t n) { return cuMemHostAlloc(p, n, 0); }

static CUresult allow_shared(CUfunction f, int bytes) {
	return cuFuncSetAttribute(f, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
}

static CUresult rows_up(CUdeviceptr to, size_t pitch, void* from, size_t width, size_t rows,
                        CUstream s) {
	CUDA_MEMCPY2D c = {.srcMemoryType = CU_MEMORYTYPE_HOST, .srcHost = from, .srcPitch = width,
		.dstMemoryType = CU_MEMORYTYPE_DEVICE, .dstDevice = to, .dstPitch = pitch,
		.WidthInBytes = width, .Height = rows};
	return cuMemcpy2DAsync(&c, s);
}

static CUresult rows_down(void* to, CUdeviceptr from, size_t pitch, size_t width, size_t rows,
                          CUstream s) {
	CUDA_MEMCPY2D c = {.srcMemoryType = CU_MEMORYTYPE_DEVICE, .srcDevice = from, .srcPitch = pitch,
		.dstMemoryType = CU_MEMORYTYPE_HOST, .dstHost = to, .dstPitch = width,
		.WidthInBytes = width, .Height = rows};
	return cuMemcpy2DAsync(&c, s);
}
*/
import "C"

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/longtake/longtake/internal/userfile"
	"gorgonia.org/cu"
)

// missing returns why the machine has no driver, "" where it has one.
func missing() string { return C.GoString(C.longtake_driver_missing()) }

// kernelsMax bounds a module that is read from a file, in bytes.
const kernelsMax = 256 << 20

// image returns the module with all kernels: the one in the program, or the file that the
// environment variable LONGTAKE_KERNELS names, so that kernels can be compared without linking.
func image() (string, error) {
	name := os.Getenv("LONGTAKE_KERNELS")
	if name == "" {
		return C.GoStringN(&C.longtake_kernels, C.int(C.longtake_kernels_bytes)), nil
	}
	b, err := userfile.Read(name, kernelsMax)
	if err != nil {
		return "", fmt.Errorf("LONGTAKE_KERNELS: %w", err)
	}
	return string(b), nil
}

// pinned returns n bytes of host memory that the GPU reads and writes by itself, so that copies of
// it do not wait for the processor. cu.MemFreeHost frees it.
func pinned(n int) ([]byte, error) {
	var p unsafe.Pointer
	if err := status("pinned memory", C.pinned(&p, C.size_t(n))); err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), n), nil
}

// sharedAnyway is the bytes of dynamic shared memory that a kernel has without asking.
const sharedAnyway = 48 << 10

// allowShared lets a kernel have bytes of dynamic shared memory. A cu.Function is the driver's
// handle and nothing else, and has no method that gives it.
func allowShared(f cu.Function, bytes int) error {
	const _ = -(unsafe.Sizeof(f) ^ unsafe.Sizeof(C.CUfunction(nil))) // the same size, or no build
	handle := *(*C.CUfunction)(unsafe.Pointer(&f))
	return status("shared memory of a kernel", C.allow_shared(handle, C.int(bytes)))
}

// cStream is a stream as this file's C sees it.
func cStream(s cu.Stream) C.CUstream { return C.CUstream(unsafe.Pointer(s.C())) }

// status returns a result of the driver as an error, nil for success.
func status(op string, r C.CUresult) error {
	if r == C.CUDA_SUCCESS {
		return nil
	}
	return fmt.Errorf("%s: error %d of the driver", op, int(r))
}

// rowsUp copies dense rows of pinned memory to rows of the GPU.
func rowsUp(to block, from unsafe.Pointer, s cu.Stream) error {
	return status("copy to the GPU", C.rows_up(C.CUdeviceptr(to.at), C.size_t(to.pitch), from,
		C.size_t(to.width), C.size_t(to.rows), cStream(s)))
}

// rowsDown copies rows of the GPU to dense rows of pinned memory.
func rowsDown(to unsafe.Pointer, from block, s cu.Stream) error {
	return status("copy from the GPU", C.rows_down(to, C.CUdeviceptr(from.at),
		C.size_t(from.pitch), C.size_t(from.width), C.size_t(from.rows), cStream(s)))
}

// Count returns how many GPUs this machine has. It fails with ErrNone where there is none.
func Count() (int, error) {
	if why := missing(); why != "" {
		return 0, fmt.Errorf("%w: there is no CUDA driver here (%s)", ErrNone, why)
	}
	n, err := cu.NumDevices()
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: the CUDA driver sees none (%v)", ErrNone, err)
	}
	return n, nil
}

// NameOf returns what the driver calls a GPU, "NVIDIA H200" for instance, without opening it.
func NameOf(ordinal int) (string, error) {
	gpu, err := choose(ordinal)
	if err != nil {
		return "", err
	}
	return gpu.Name()
}

// choose returns a GPU of this machine.
func choose(ordinal int) (cu.Device, error) {
	n, err := Count()
	if err != nil {
		return 0, err
	}
	if ordinal < 0 || ordinal >= n {
		return 0, fmt.Errorf("cannot open GPU %d: there are %d, from 0 on", ordinal, n)
	}
	return cu.GetDevice(ordinal)
}
