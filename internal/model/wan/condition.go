package wan

import "fmt"

// ConditionWidth returns the number of values that the model takes of one token beside the latent,
// such as the mask and the frames of image-to-video: channels times patch volume, 0 for a model
// that takes the latent alone.
func (t *Transformer) ConditionWidth() int {
	p := t.cfg.PatchSize
	return (t.cfg.InChannels - t.cfg.OutChannels) * p[0] * p[1] * p[2]
}

// Condition sets what the model takes of the own tokens beside the latent in the passes to come:
// rows [own, ConditionWidth] in the order of values that latents have. Another number of values is
// an error. A model that takes such values makes no pass before it; it is called again for another
// window.
func (s *Sequence) Condition(rows []float32) error {
	width := s.t.ConditionWidth()
	if width == 0 || len(rows) != s.own.Len()*width {
		return fmt.Errorf("%d values are no condition of %d tokens x %d", len(rows), s.own.Len(), width)
	}
	latent := s.t.TokenWidth()
	s.t.dev.Upload(s.in.ColRange(latent, latent+width), rows)
	s.conditioned = true
	return nil
}

// checkConditions wants the model to have been given what it takes beside latent and text.
func (s *Sequence) checkConditions() error {
	if s.t.ConditionWidth() > 0 && !s.conditioned {
		return fmt.Errorf("cannot run a pass without its condition")
	}
	if s.t.SeesPictures() && s.pictures == nil {
		return fmt.Errorf("cannot run a pass without its pictures")
	}
	return nil
}
