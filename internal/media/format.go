package media

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Format is a kind of file that holds a clip, as requests name it.
type Format string

// Formats that can be written.
const (
	WebM Format = "webm" // VP8, every frame a keyframe
	MP4  Format = "mp4"  // H.264; needs ffmpeg
	PNG  Format = "png"  // a zip of 00000.png, 00001.png, ...
)

// Formats lists every format, the default one first.
func Formats() []Format { return []Format{WebM, MP4, PNG} }

// FormatOfPath returns the format that an output path asks for: .webm, .mp4, or PNG for a folder,
// which is a path that ends in a separator or has no extension. Any other path is an error that
// says what is allowed.
func FormatOfPath(path string) (Format, error) {
	ext := strings.ToLower(filepath.Ext(path))

	// A folder takes the frames, one file each.
	switch {
	case path == "":
		return "", fmt.Errorf("output path is empty; allowed: a .webm or .mp4 file, or a folder")
	case ext == "" || strings.HasSuffix(path, "/") || strings.HasSuffix(path, `\`):
		return PNG, nil
	case ext == ".webm":
		return WebM, nil
	case ext == ".mp4":
		return MP4, nil
	}
	return "", fmt.Errorf("output %q; allowed: a .webm or .mp4 file, or a folder for PNG frames", path)
}

// Available returns nil if the format can be written on this machine, else what is missing.
func (f Format) Available() error {
	if f == MP4 {
		if _, err := exec.LookPath("ffmpeg"); err != nil {
			return fmt.Errorf("mp4 needs ffmpeg on PATH; use .webm or a folder of frames")
		}
	}
	return nil
}

// ContentType returns the MIME type of the format's files.
func (f Format) ContentType() string {
	if f == PNG {
		return "application/zip"
	}
	return "video/" + string(f)
}

// Extension returns the ending of the format's files, with its dot.
func (f Format) Extension() string {
	if f == PNG {
		return ".zip"
	}
	return "." + string(f)
}
