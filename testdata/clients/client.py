"""Uses longtake at BASE_URL through OpenAI's Python SDK, as its users do."""

import base64
import os
import warnings

import openai

warnings.simplefilter("ignore")  # the SDK warns that OpenAI's own service is to close
picture = open(os.environ["PICTURE"], "rb").read()
client = openai.OpenAI(base_url=os.environ["BASE_URL"] + "/v1", api_key="none", max_retries=0)
videos = client.videos
quick = {"num_inference_steps": 1}  # what OpenAI's API has no field for


def refused(kind, status, call, *args, **kwargs):
    """Wants a call to raise one of the SDK's errors, with all that an error has."""
    try:
        call(*args, **kwargs)
    except kind as error:
        assert error.status_code == status and error.message and error.request_id, error
        return error
    raise AssertionError(f"{call} did not raise {kind}")


made = videos.create_and_poll(prompt="a red ball over the sea", model="sora-2", seconds="1",
                              size="96x64", extra_body={**quick, "user": "u", "seed": -1})
assert made.status == "completed" and made.progress == 100 and made.error is None, made
assert (made.seconds, made.size, made.model) == ("1", "96x64", "sora-2"), made
assert made.completed_at >= made.created_at and made._request_id, made
assert videos.retrieve(made.id) == made

kinds = {"video": b"\x1a\x45\xdf\xa3", "thumbnail": b"RIFF", "spritesheet": b"\xff\xd8"}
for variant, magic in kinds.items():
    assert videos.download_content(made.id, variant=variant).read().startswith(magic), variant
assert videos.download_content(made.id).read()[:4] == kinds["video"]
part = videos.download_content(made.id, extra_headers={"Range": "bytes=0-3"})
assert part.response.status_code == 206 and part.read() == kinds["video"]

remix = videos.remix(made.id, prompt="a blue ball over the sea")
assert remix.remixed_from_video_id == made.id and remix.prompt == "a blue ball over the sea", remix
assert videos.poll(remix.id).status == "completed"
# The SDK itself refuses an object where there may be a file, so the id goes into extra_body.
longer = videos.extend(video=openai.omit, prompt="a red ball over the sea", seconds="1",
                       extra_body={"video": {"id": made.id}})
assert videos.poll(longer.id).status == "completed"
edit = videos.edit(video=openai.omit, prompt="a blue ball", extra_body={"video": {"id": made.id}})
assert videos.poll(edit.id).status == "completed"

for reference in picture, ("a.png", picture, "image/png"):
    v = videos.create(prompt="a ball", input_reference=reference, seconds="1", extra_body=quick)
    assert v.status in ("queued", "in_progress"), v
    assert videos.delete(v.id).deleted  # which cancels it
url = "data:image/png;base64," + base64.b64encode(picture).decode()
v = videos.create(prompt="a ball", seconds="1",
                  extra_body={**quick, "input_reference": {"image_url": url}})
assert videos.poll(v.id).status == "completed"

page = videos.list(limit=1)
assert len(page.data) == 1 and page.has_more
assert {made.id, remix.id, longer.id} <= {v.id for v in videos.list(limit=2, order="asc")}
assert videos.list(after=page.data[0].id, limit=1).data[0].id != page.data[0].id

key = {"Idempotency-Key": "python-" + made.id}
once = videos.create(prompt="once", seconds="1", extra_body=quick, extra_headers=key)
assert videos.create(prompt="once", seconds="1", extra_body=quick, extra_headers=key).id == once.id
refused(openai.ConflictError, 409, videos.create, prompt="twice", extra_headers=key)

model = client.models.list().data[0]
assert client.models.retrieve(model.id).id == model.id
assert client.models.retrieve("sora-2").id == "sora-2"

error = refused(openai.BadRequestError, 400, videos.create, prompt="a", size="big")
assert (error.param, error.code) == ("size", "invalid_value"), error.body
refused(openai.BadRequestError, 400, videos.create, prompt="a", seconds="none")
refused(openai.NotFoundError, 404, videos.retrieve, "video_none")
refused(openai.NotFoundError, 404, client.models.retrieve, "none")
refused(openai.NotFoundError, 404, videos.list, after="video_none")
refused(openai.BadRequestError, 400, videos.edit, video=b"no video", prompt="a")
refused(openai.InternalServerError, 501, videos.get_character, "char_none")

for v in made, remix, longer, edit, once:
    assert videos.delete(v.id).deleted
refused(openai.NotFoundError, 404, videos.retrieve, made.id)
