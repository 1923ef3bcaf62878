package model

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
)

// published22 is the VAE's configuration in Wan-AI/Wan2.2-TI2V-5B-Diffusers, without statistics.
const published22 = `{"_class_name": "AutoencoderKLWan", "attn_scales": [], "base_dim": 160,
	"decoder_base_dim": 256, "dim_mult": [1, 2, 4, 4], "dropout": 0.0,
	"in_channels": 12, "is_residual": true, "num_res_blocks": 2, "out_channels": 12,
	"patch_size": 2, "scale_factor_spatial": 16, "scale_factor_temporal": 4,
	"temperal_downsample": [false, true, true], "z_dim": 48}`

// changedVAE reads the published configuration with some keys changed.
func changedVAE(t *testing.T, changed map[string]string) *settings {
	t.Helper()
	s := &settings{file: "vae/config.json", used: map[string]bool{}}
	if err := json.Unmarshal([]byte(published22), &s.raw); err != nil {
		t.Fatal(err)
	}
	for k, v := range changed {
		s.raw[k] = json.RawMessage(v)
	}
	return s
}

// numbers is a list of n values.
func numbers(n int, v float64) string {
	b, _ := json.Marshal(slices.Repeat([]float64{v}, n))
	return string(b)
}

func TestThePublishedVAEOfWan22(t *testing.T) {
	stats := map[string]string{"latents_mean": numbers(48, 0.1), "latents_std": numbers(48, 0.5)}
	s := changedVAE(t, stats)
	c := readVAE(s)
	if s.err != nil {
		t.Fatal(s.err)
	}
	if !maps.EqualFunc(c.Shapes(), published(t, "vae 2.2"), slices.Equal) {
		t.Error("its weights are not those of AutoencoderKLWan")
	}
	if c.SpatialScale() != 16 || c.TemporalScale() != 4 || c.LatentFrames(121) != 31 {
		t.Errorf("scales %d and %d, %d latent frames of 121", c.SpatialScale(), c.TemporalScale(),
			c.LatentFrames(121))
	}
}

func TestAResidualVAEIsRefused(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"out_channels", "3", "vae/config.json: out_channels is 3; allowed: 12"},
		{"scale_factor_spatial", "8", "vae/config.json: scale_factor_spatial is 8; allowed: 16 or null"},
		{"z_dim", "16", "vae/config.json: latents_mean is " + numbers(48, 0.1)[:80] +
			"; allowed: 16 values, one for each of z_dim"},
		{"dim_mult", "[1,2,4,3]", "vae/config.json: dim_mult is [1,2,4,3]; allowed: widths that " +
			"shortcuts can make by averaging or repeating whole values"},
	} {
		s := changedVAE(t, map[string]string{"latents_mean": numbers(48, 0.1),
			"latents_std": numbers(48, 0.5), c.key: c.value})
		if readVAE(s); s.err == nil || s.err.Error() != c.want {
			t.Errorf("%s: %v; want %s", c.key, s.err, c.want)
		}
	}

	s := changedVAE(t, nil)
	delete(s.raw, "in_channels")
	if readVAE(s); s.err == nil {
		t.Error("3 channels of frames, as an absent key means, were taken for patches")
	}
}
