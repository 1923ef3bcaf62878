package job

// Footprint is about what a job takes in the object store, in bytes.
type Footprint struct {
	Kept int64 // in the end: its clip and its latents
	Most int64 // while it is made: with its checkpoints, and the seconds that are there early
}

// checkpointsAtOnce are the latest one, the one before, and the one that is being stored.
const checkpointsAtOnce = 3

// bytesPerPixel is about what a frame's pixel takes in a clip, in hundredths.
var bytesPerPixel = map[string]int64{"webm": 25, "mp4": 15, "png": 250}

// Footprint estimates what a job of a resolved spec takes. The latents are exact, as are
// checkpoints of a clip that is denoised as a whole.
func (m Model) Footprint(s Spec, checkpoints bool) Footprint {
	latents := 4 * int64(m.LatentChannels) * int64(m.Latents(s.Frames)) *
		int64(s.Height/m.SpatialScale) * int64(s.Width/m.SpatialScale)

	per := bytesPerPixel[s.Format]
	if per == 0 {
		per = bytesPerPixel["png"]
	}
	clip := int64(s.Frames) * int64(s.Height) * int64(s.Width) / 100 * per

	f := Footprint{Kept: latents + clip, Most: latents + clip}
	if !checkpoints {
		return f
	}

	tensors := int64(4) // the latent, and what UniPC keeps: two predictions and a sample
	if s.Scheduler == "euler" || s.Causal != nil {
		tensors = 1
	}
	f.Most += checkpointsAtOnce * tensors * latents
	if m.Takes.Condition > 0 {
		f.Most += latents // of the condition, as a part
	}
	if s.Format == "webm" {
		f.Most += clip // as parts
	}
	return f
}

// Stored is what a live job has in the object store already, as far as it is recorded.
func (r Record) Stored() int64 {
	return r.Checkpoint.Object.Size + r.Before.Object.Size + r.PartsSize()
}
