package source

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/longtake/longtake/internal/job"
	"github.com/longtake/longtake/internal/tensor"
	"github.com/longtake/longtake/internal/tensor/safetensors"
	"github.com/longtake/longtake/internal/tensor/torchsave"
)

// LatentAllowed says what the file of an initial latent is.
const LatentAllowed = "a safetensors file, or a .pt file of torch.save, of one tensor " +
	"[1, channels, frames, height, width] of float32, bfloat16 or float16"

// LatentMax bounds the file of an initial latent, in bytes: that of 81 frames of 1280x720 has 19 MB
// in float32. Of a .pt file as much may be in memory for a moment.
const LatentMax = 256 << 20

// An initial latent may come in several forms, of which the job keeps one: otherwise two requests
// with the same values would be two different ones, and shards would have to read them all.

// inspectLatent looks at an initial latent, all of it: one bad value would spread to every token.
func inspectLatent(field job.Field, file *os.File) (*File, error) {
	x, done, err := readLatent(field, file)
	if err != nil {
		return nil, err
	}
	defer done()

	// Whether the shape is that of the clip is for the model to say.
	if at, v := x.FirstNotFinite(); at >= 0 {
		return nil, wrong(field, fmt.Sprintf("a latent with %v at %d", v, at), "values that are finite")
	}
	return &File{File: file, field: field, input: job.Input{Role: field.Role, Kind: job.KindLatents,
		Shape: [4]int(x.Shape)}}, nil
}

// readLatent returns the tensor of an initial latent, [channels, frames, height, width], until done
// is called. A zip archive is torch's; anything else is taken for safetensors.
func readLatent(field job.Field, file *os.File) (x tensor.Tensor, done func(), err error) {
	info, err := file.Stat()
	if err != nil {
		return x, nil, err
	}
	if info.Size() > LatentMax {
		return x, nil, wrong(field, fmt.Sprintf("a file of more than %d bytes", LatentMax), LatentAllowed)
	}

	// A file that is too short for a signature is not one of either kind, as is told below.
	var head [4]byte
	if _, err := file.ReadAt(head[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return x, nil, err
	}

	done = func() {}
	if string(head[:]) == "PK\x03\x04" {
		x, err = torchsave.Read(file, info.Size(), LatentMax)
	} else {
		x, done, err = onlyTensor(file)
	}
	if err != nil {
		return x, nil, wrong(field, fmt.Sprintf("a file that cannot be read: %.200v", err),
			LatentAllowed)
	}

	// A batch of one, as pipelines take it, or no batch.
	if len(x.Shape) == 5 && x.Shape[0] == 1 {
		x.Shape = x.Shape[1:]
	}

	float := x.DType == tensor.F32 || x.DType == tensor.BF16 || x.DType == tensor.F16
	if len(x.Shape) != 4 || !float || len(x.Data) == 0 {
		done()
		return x, nil, wrong(field, fmt.Sprintf("a tensor of %v %v", x.DType, x.Shape), LatentAllowed)
	}
	return x, done, nil
}

// onlyTensor returns the tensor of a safetensors file that has one.
func onlyTensor(file *os.File) (x tensor.Tensor, done func(), err error) {
	var head [8]byte
	if _, err := file.ReadAt(head[:], 0); err != nil ||
		binary.LittleEndian.Uint64(head[:]) > latentsHeaderMax {
		return x, nil, errors.New("it is of another kind")
	}

	// The file may be a temporary one of the coordinator's.
	f, err := safetensors.Open(file.Name())
	if err != nil {
		if _, why, ok := strings.Cut(err.Error(), file.Name()+": "); ok {
			err = errors.New(why) // without a path that means nothing to a client
		}
		return x, nil, err
	}

	// Any name will do: diffusers gives none.
	done = func() { f.Close() }
	names := f.Names()
	if len(names) != 1 {
		done()
		return x, nil, fmt.Errorf("it has %d tensors, not one", len(names))
	}
	if x, err = f.Tensor(names[0]); err != nil {
		done()
	}
	return x, done, err
}

// writeLatent writes an initial latent as results have theirs, whatever file it came in: the same
// values are the same object. Widening to float32 is exact, and done a few MB at a time.
func (f *File) writeLatent(ctx context.Context, out *os.File) error {
	x, done, err := readLatent(f.field, f.File)
	if err != nil {
		return err
	}
	defer done()

	shape := append(tensor.Shape{1}, x.Shape...)
	blank := map[string]tensor.Tensor{"latents": {DType: tensor.F32, Shape: shape}}
	return safetensors.WriteFrom(out, blank, nil, func(_ string, w io.Writer) error {
		const values = 1 << 20
		for data := range slices.Chunk(x.Data, values*x.DType.Size()) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}

			n := len(data) / x.DType.Size()
			v, err := tensor.Tensor{DType: x.DType, Shape: tensor.Shape{n}, Data: data}.Float32()
			if err == nil {
				_, err = w.Write(tensor.Bytes(v))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
