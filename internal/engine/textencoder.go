package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/model/umt5"
)

// Stream has a text encoder packed layer by layer, whenever texts are encoded: it takes the memory
// of two layers. Other residencies of the text encoder are Auto and Resident. On a CPU neither
// matters: it multiplies with the weights where their file is mapped.
const Stream Residency = "stream"

// textRoom is how many times its size a device must have left for Auto to keep the text encoder
// there: it is idle most of the time, and clips need the rest.
const textRoom = 4

// loadText binds the text encoder (UMT5) for the main device. It is the last part to be loaded, so
// that what is left of the memory is known.
func (e *Engine) loadText(ctx context.Context) error {
	w, err := e.weights(ctx, "text_encoder")
	if err != nil {
		return err
	}

	load, how, why := umt5.Load, Resident, ""
	if _, inFile := e.dev.Main.(compute.FileBinder); !inFile {
		if how, why = e.textResidency(); how == Stream {
			load = umt5.Stream
		}
		if e.options.Log != nil {
			e.options.Log.Info("the text encoder is on the GPU", "weights", how, "reason", why)
		}
	}
	e.text, err = load(e.dev.Main, e.folder.TextEncoder, w, e.dtype.Rest())
	return err
}

// textResidency decides where the text encoder is on a device with memory of its own, and says why.
func (e *Engine) textResidency() (how Residency, why string) {
	if how = e.options.TextEncoder; how != "" && how != Auto {
		return how, "as asked for"
	}
	if _, ok := e.dev.Main.(compute.Dropper); !ok {
		return Resident, "the device cannot stream it"
	}

	cfg := e.folder.TextEncoder
	need := int64(cfg.NumLayers) * umt5.LayerBytes(cfg, e.dtype.Rest())
	if dev, ok := e.dev.Main.(compute.Reserver); ok {
		if err := dev.Reserve(textRoom * need); errors.Is(err, compute.ErrMemory) {
			return Stream, fmt.Sprintf("it takes %s, and less than %s are left", gigabytes(need),
				gigabytes(textRoom*need))
		}
	}
	return Resident, fmt.Sprintf("it takes %s, and there is room for more", gigabytes(need))
}
