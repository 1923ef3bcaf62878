package job

// conditioningLimit bounds conditioning_scale; VACE is used at 0.5 to 1.5.
const conditioningLimit = 10.0

// positive is a number that has no 0, which in a spec stands for none.
var positive = kind[float64]{written: form{TypeNumber, "a number above 0"}, show: shownFloat,
	parse: func(t string) (float64, bool) {
		v, ok := parseFloat(t)
		return v, ok && v != 0
	}}

// editFields are those of clips that are made from a video, or controlled by one. Inputs are files,
// which the API receives.
var editFields = []Field{
	{
		Name: VideoField, Role: RoleVideo, Flag: "video",
		Aliases: []string{"video_reference", "video_url"}, Mistaken: []string{"video_path"},
		Doc: "the video that is changed, or that the clip follows; [see below](#editing)",
	},
	{
		Name: MaskField, Role: RoleMask, Flag: "mask",
		Doc: "where the video is painted anew: a picture or a video, white there",
	},
	{
		Name: ReferenceField, Role: RoleReference, Many: referencesMax, Flag: "reference",
		Doc: "up to 8 pictures of what the clip is to show",
	},
	{
		Name: StrengthField, Flag: "strength",
		Help: "how much of --video is new, above 0 up to 1, by a model other than VACE (default: 0.8)",
		Doc: "how much of `video` is new, above 0 up to 1: the part of the steps that are made; left " +
			"out, 0.8",
		Inherits: ByRemix, Refuses: Model.refusesStrength,
		value: slot[float64]{kind: positive,
			in:    optional(func(r *Request) **float64 { return &r.Strength }),
			out:   func(s *Spec) *float64 { return &s.Strength },
			def:   Model.strength,
			limit: limit[float64]{"above 0, up to 1", func(v float64) bool { return v >= 0 && v <= 1 }}},
	},
	{
		Name: "conditioning_scale", Mistaken: []string{"vace_scale", "control_scale"},
		Flag: "conditioning-scale",
		Help: "how strongly a VACE model follows --video, --mask and --reference, 0 to 10 (default: 1)",
		Doc: "how strongly a VACE model follows `video`, `mask` and `reference_images`, 0 to 10; left " +
			"out, 1",
		Inherits: ByRemix, Refuses: Model.refusesConditioning,
		value: slot[float64]{kind: float,
			in:  optional(func(r *Request) **float64 { return &r.ConditioningScale }),
			out: func(s *Spec) *float64 { return &s.ConditioningScale },
			def: Model.conditioning,
			limit: limit[float64]{"0 to 10",
				func(v float64) bool { return v >= 0 && v <= conditioningLimit }}},
	},
}
