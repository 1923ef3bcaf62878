package model

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// causalFolder turns a folder into one as other programs write them for causal models.
func causalFolder(t *testing.T, pipeline string, keys map[string]string) fstest.MapFS {
	t.Helper()
	m := tiny(t)
	edit(t, m, "model_index.json", map[string]string{"_class_name": quoted(pipeline),
		"transformer": `["diffusers", "CausalWanTransformer3DModel"]`,
		"scheduler":   `["diffusers", "SelfForcingFlowMatchScheduler"]`})
	keys["_class_name"] = `"CausalWanTransformer3DModel"`
	edit(t, m, "transformer/config.json", keys)
	return m
}

// TestCausalFoldersSayWhatTheyAreMadeFor reads what folders of both kinds say: in longtake.json, or
// in the transformer's configuration.
func TestCausalFoldersSayWhatTheyAreMadeFor(t *testing.T) {
	steps := []float64{1000, 750, 500, 250}
	f := func(m fstest.MapFS, want *Causal) {
		t.Helper()
		folder, err := OpenFS(m, "tiny")
		if err != nil {
			t.Fatal(err)
		}
		defer folder.Close()
		if !reflect.DeepEqual(folder.Defaults.Causal, want) {
			t.Errorf("%+v, want %+v", folder.Defaults.Causal, want)
		}
		if want != nil && folder.VAE.LatentFrames(folder.Defaults.Frames)%want.Block != 0 {
			t.Errorf("by default a clip has %d frames, which are no whole blocks", folder.Defaults.Frames)
		}
	}
	with := func(longtake string) fstest.MapFS {
		m := tiny(t)
		m["longtake.json"] = &fstest.MapFile{Data: []byte(longtake)}
		return m
	}

	f(tiny(t), nil)
	f(with(`{"causal": {}}`), &Causal{3, 21, 0, steps, 5, true})
	f(with(`{"causal": {"block": 2, "window": 4, "timesteps": [1000, 757, 522], "shift": 8,
		"warp": false}}`), &Causal{2, 4, 0, []float64{1000, 757, 522}, 8, false})
	f(causalFolder(t, "CausalForcingPipeline", map[string]string{"num_frames_per_block": "3",
		"sliding_window_num_frames": "null", "sink_size": "0"}), &Causal{3, 21, 0, steps, 5, true})
	f(causalFolder(t, "WanCausalDMDPipeline", map[string]string{"num_frames_per_block": "1",
		"sliding_window_num_frames": "12", "sink_size": "3"}), &Causal{1, 12, 3, steps, 5, true})

	// longtake.json knows better.
	both := causalFolder(t, "CausalForcingPipeline", map[string]string{})
	both["longtake.json"] = &fstest.MapFile{Data: []byte(`{"causal": {"window": 9, "sink": 3}}`)}
	f(both, &Causal{3, 9, 3, steps, 5, true})
}

func TestABrokenCausalFolderIsNamed(t *testing.T) {
	for _, c := range []struct{ longtake, want string }{
		{`{"causal": 3}`, "causal is 3; allowed: an object such as"},
		{`{"causal": {"block": 0}}`, "longtake.json: causal: block is 0; allowed: 1 to"},
		{`{"causal": {"sinks": 1}}`, "longtake.json: causal: key"},
		{`{"causal": {"window": 3, "sink": 3}}`, "causal: window is 3; allowed: from 6"},
		{`{"causal": {"timesteps": 3}}`, "causal: timesteps is 3; allowed: a list of numbers"},
	} {
		m := tiny(t)
		m["longtake.json"] = &fstest.MapFile{Data: []byte(c.longtake)}
		if _, err := OpenFS(m, "tiny"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.longtake, err, c.want)
		}
	}
	m := causalFolder(t, "CausalForcingPipeline", map[string]string{"local_attn_size": "12"})
	if _, err := OpenFS(m, "tiny"); err == nil || !strings.Contains(err.Error(), "local_attn_size") {
		t.Errorf("another window: %v", err)
	}
}
