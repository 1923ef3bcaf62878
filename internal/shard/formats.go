package shard

import (
	"github.com/longtake/longtake/internal/compute"
	"github.com/longtake/longtake/internal/media"
)

// dtypes names the types of products that a device has.
func dtypes(dev compute.Device) (names []string) {
	for _, t := range compute.DTypesOf(dev) {
		names = append(names, t.String())
	}
	return names
}

// formats lists the video formats that this node can encode; MP4 needs ffmpeg on its machine.
func formats() []string {
	var out []string
	for _, f := range media.Formats() {
		if f.Available() == nil {
			out = append(out, string(f))
		}
	}
	return out
}
