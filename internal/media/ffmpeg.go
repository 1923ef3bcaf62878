package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Limits on ffmpeg while it reads a file that a client has sent.
const (
	ffmpegAlloc   = 512 << 20       // bytes of one allocation
	ffmpegErrors  = 4 << 10         // bytes that are kept of its error output
	ffmpegEndTime = 5 * time.Second // for its pipes to close once it is stopped
)

// containers are the formats that ffmpeg may read. Formats that name other files or addresses, such
// as playlists, are not among them, whatever a file begins with.
const containers = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,gif,apng,ogg,flv,asf"

// readArguments are those with which ffmpeg turns a file into pictures at a rate, one after the
// other on its output (PPM). It opens no other file and no connection.
func readArguments(path string, r FrameRate) []string {
	return []string{"-hide_banner", "-loglevel", "error", "-nostdin",
		"-timelimit", strconv.Itoa(int(VideoTime.Seconds())), "-max_alloc", strconv.Itoa(ffmpegAlloc),
		"-protocol_whitelist", "file", "-format_whitelist", containers,
		"-max_pixels", strconv.Itoa(PictureMax), "-threads", "2", "-i", "file:" + path,
		"-map", "0:v:0", "-vf", fmt.Sprintf("fps=%d/%d", r.Frames, r.Seconds),
		"-sws_flags", "bicubic+accurate_rnd+full_chroma_int", "-pix_fmt", "rgb24",
		"-f", "image2pipe", "-c:v", "ppm", "pipe:1"}
}

// ffmpegVideo reads a file with ffmpeg, in a process that ends when the reading does.
func ffmpegVideo(path string, r FrameRate) func(context.Context, func(image.Image) error) error {
	return func(ctx context.Context, f func(image.Image) error) (err error) {
		if _, err := exec.LookPath("ffmpeg"); err != nil {
			return errors.New("ffmpeg is not on the PATH of the coordinator that reads it; install it, " +
				"or send a zip of PNG pictures or an animated WebP")
		}

		ctx, cancel := context.WithCancel(ctx)
		cmd := exec.CommandContext(ctx, "ffmpeg", readArguments(path, r)...)
		said := &beginning{}
		cmd.Stderr, cmd.WaitDelay = said, ffmpegEndTime
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			cancel()
			return fmt.Errorf("cannot start ffmpeg: %w", err)
		}

		// If there are enough frames, or reading fails, the process is killed, and its error means
		// nothing.
		err = readPPM(bufio.NewReaderSize(out, 1<<16), f)
		if err != nil {
			cancel()
		}

		ended := cmd.Wait()
		cancel()
		if err == nil && ended != nil {
			err = fmt.Errorf("ffmpeg: %.200q (%w)", said.reason(path), ended)
		}
		return err
	}
}

// beginning keeps the beginning of what is written to it.
type beginning struct{ text bytes.Buffer }

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	b.text.Write(p[:min(len(p), max(0, ffmpegErrors-b.text.Len()))])
	return len(p), nil
}

// reason returns the first line of what ffmpeg said of the file at path, without the file's name,
// which is one of the coordinator's, and without the part of ffmpeg that says it and its address.
func (b *beginning) reason(path string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(b.text.String()), "\n")
	if part, text, ok := strings.Cut(line, "] "); ok && strings.HasPrefix(part, "[") {
		line = text
	}
	line = strings.TrimPrefix(line, "file:"+path+": ")
	return strings.ReplaceAll(line, path, "it")
}

// readPPM calls f with each binary pixmap of a stream, 8 bits a channel.
func readPPM(r *bufio.Reader, f func(image.Image) error) error {
	var img *image.RGBA
	var row []byte
	for {
		w, h, err := ppmHeader(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if img == nil || img.Rect.Dx() != w || img.Rect.Dy() != h {
			img, row = image.NewRGBA(image.Rect(0, 0, w, h)), make([]byte, 3*w)
		}

		for y := range h {
			if _, err := io.ReadFull(r, row); err != nil {
				return fmt.Errorf("a frame is cut short: %w", io.ErrUnexpectedEOF)
			}
			setRGBA(img.Pix[y*img.Stride:][:4*w], row)
		}
		if err := f(img); err != nil {
			return err
		}
	}
}

// ppmHeader reads the three lines before the pixels: "P6", a width and a height, 255. At the end of
// the stream it returns io.EOF.
func ppmHeader(r *bufio.Reader) (w, h int, err error) {
	var lines [3]string
	for i := range lines {
		line, err := r.ReadSlice('\n')
		if i == 0 && len(line) == 0 && errors.Is(err, io.EOF) {
			return 0, 0, io.EOF
		}
		if err != nil {
			return 0, 0, fmt.Errorf("a frame's header is broken: %w", io.ErrUnexpectedEOF)
		}
		lines[i] = string(line)
	}

	across, down, _ := strings.Cut(strings.TrimSuffix(lines[1], "\n"), " ")
	w, werr := strconv.Atoi(across)
	h, herr := strconv.Atoi(down)
	if werr != nil || herr != nil || lines[0] != "P6\n" || lines[2] != "255\n" {
		return 0, 0, fmt.Errorf("a frame's header is %.64q", strings.Join(lines[:], ""))
	}
	if w < 1 || h < 1 || w > PictureSideMax || h > PictureSideMax || w > PictureMax/h {
		return 0, 0, fmt.Errorf("a frame is %dx%d; allowed: 16 megapixels", w, h)
	}
	return w, h, nil
}
