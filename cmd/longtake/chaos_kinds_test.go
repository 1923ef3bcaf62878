package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/longtake/longtake/internal/freeport"
	"github.com/longtake/longtake/internal/golden"
	"github.com/longtake/longtake/internal/model"
)

// chaosKind is a kind of clip of the mix: a model, and what a request says besides the seed. Another
// kind is another row.
type chaosKind struct {
	name   string
	model  string // a twin of testdata/golden/twins, or tiny3
	steps  int    // enough of them for something to go wrong meanwhile; 0: the model's own
	fields map[string]any
}

// chaosKinds are all that is made while things go wrong.
var chaosKinds = []chaosKind{
	{name: "text to video (Wan 2.1)", model: "tiny3", steps: chaosSteps,
		fields: map[string]any{"size": "64x64", "num_frames": 33}},
	{name: "windows, with a LoRA", model: "t2v", steps: 400, fields: map[string]any{"size": "32x32",
		"num_frames": 41, "window": 7, "overlap": 2, "lora": "paint:0.8"}},
	{name: "two experts (Wan 2.2 A14B)", model: "a14b", steps: 200,
		fields: map[string]any{"size": "64x64", "num_frames": 17, "guidance_scale_2": 3}},
	{name: "TI2V-5B, from a picture", model: "ti2v", steps: 200,
		fields: map[string]any{"size": "64x64", "num_frames": 17, "input_reference": picture()}},
	{name: "image to video (condition)", model: "i2v", steps: 300,
		fields: map[string]any{"size": "32x32", "num_frames": 17, "input_reference": picture()}},
	{name: "image to video (CLIP)", model: "i2v_clip", steps: 300,
		fields: map[string]any{"size": "32x32", "num_frames": 17, "input_reference": picture()}},
	{name: "VACE, with a reference", model: "vace22", steps: 150, fields: map[string]any{
		"size": "64x64", "num_frames": 9, "reference_images": []string{picture()}}},
	{name: "causal", model: "causal", // as many steps as it was made for, in each block
		fields: map[string]any{"size": "64x64", "num_frames": 141}},
}

// seedsOfAKind is how many different clips of a kind there are.
const seedsOfAKind = 1

// folder returns the folder of a model. The causal one has tiny3's weights.
func (c *chaos) folder(name string) string {
	tiny := golden.Root("testdata", "golden", "tiny3")
	switch name {
	case "tiny3":
		return tiny
	case "causal":
		dir := c.t.TempDir()
		const causal = `{"causal": {"block": 3, "window": 12, "sink": 3, "timesteps": ` +
			`[1000, 750, 500, 250], "shift": 5}}`
		if err := errors.Join(os.CopyFS(dir, os.DirFS(tiny)),
			os.WriteFile(dir+"/longtake.json", []byte(causal), 0o600)); err != nil {
			c.t.Fatal(err)
		}
		return dir
	}
	return golden.Twin(c.t, name)
}

// paint writes a LoRA for a model, and returns its file.
func (c *chaos) paint(folder string) string {
	m, err := model.Open(folder)
	if err != nil {
		c.t.Fatal(err)
	}
	defer m.Close()
	path := filepath.Join(c.t.TempDir(), "paint.safetensors")
	data := golden.Safetensors(c.t, golden.LoRA("plain", "peft", m.Transformer.Shapes()))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// modelFlags are those of a shard that has all models of the kinds.
func (c *chaos) modelFlags() (flags []string) {
	folders := map[string]string{}
	for _, k := range c.kinds {
		if folders[k.model] == "" {
			folders[k.model] = c.folder(k.model)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		flags = append(flags, "--model", name+"="+folders[name])
		if name == "t2v" {
			flags = append(flags, "--loras", "paint="+c.paint(folders[name]))
		}
	}
	return flags
}

// kind is the kind of a clip, and body its request.
func (c *chaos) kind(which int) chaosKind { return c.kinds[which%len(c.kinds)] }

func (c *chaos) body(which int) string {
	k := c.kind(which)
	fields := map[string]any{"prompt": "a blue car", "model": k.model, "seed": which}
	if k.steps > 0 {
		fields["num_inference_steps"] = k.steps
	}
	maps.Copy(fields, k.fields)
	b, err := json.Marshal(fields)
	if err != nil {
		c.t.Error(err)
	}
	return string(b)
}

// picture is one to start from, as a data URL.
func picture() string {
	img := image.NewRGBA(image.Rect(0, 0, 48, 40))
	for i := range 48 * 40 {
		x, y := i%48, i/48
		img.Set(x, y, color.RGBA{uint8(5 * x), uint8(6 * y), uint8(3 * (x + y)), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// reference makes every clip on a single shard in a process of its own, undisturbed.
func (c *chaos) reference() {
	listen := freeport.Addrs(1)[0]
	up := c.b.start(c.t, "longtake", append([]string{"up", "--shards", "1", "--listen", listen,
		"--data", c.t.TempDir()}, c.modelFlags()...)...)
	alone := &chaos{t: c.t, coords: []*coordinatorProc{{http: listen}}, kinds: c.kinds,
		accepted: map[string]int{}}
	for i := range c.want {
		start := time.Now()
		id := alone.create(fmt.Sprint("reference-", i), i)
		if id == "" {
			c.t.FailNow()
		}
		if _, ok := alone.await(id); !ok {
			c.t.FailNow()
		}
		c.want[i] = alone.fetch(id)
		c.t.Logf("%s takes %v", c.kind(i).name, time.Since(start).Round(time.Millisecond))
	}
	up.stop()
}

// fetch returns the hashes of a finished clip's files.
func (c *chaos) fetch(id string) (got clip) {
	for variant, sum := range map[string]*[32]byte{"video": &got.video, "latents": &got.latents} {
		var err error
		for range 100 {
			var b []byte
			b, err = c.call("GET", "/v1/videos/"+id+"/content?variant="+variant, "", "")
			if *sum = sha256.Sum256(b); err == nil {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		if err != nil {
			c.t.Errorf("clip %s cannot be fetched: %v", id, err)
		}
	}
	return got
}
