"""Reading and writing images and videos; all untrusted files are decoded here."""

from __future__ import annotations

from maskdet.media.audio_mux import AUDIO_LOST, AudioTrack
from maskdet.media.cameras import (
    CAMERA_REFUSED,
    MAX_REFUSALS,
    LatestFrameSource,
    ReconnectPolicy,
    open_video,
    redact_url,
    validate_camera_url,
)
from maskdet.media.image_folder import find_images
from maskdet.media.image_formats import IMAGE_FORMATS, IMAGE_SUFFIXES, ImageReadError
from maskdet.media.images import (
    MAX_BYTES,
    MAX_JPEG_PIXELS,
    MAX_PIXELS,
    DecodedImage,
    decode_image,
    encode_jpeg,
    encode_png,
    read_image,
    resize_image,
    rotate_image,
    write_image,
)
from maskdet.media.video_reader import (
    ROTATIONS,
    CameraLoginError,
    VideoInfo,
    VideoLimits,
    VideoReader,
    VideoReadError,
    VideoSource,
    find_videos,
    open_video_file,
    validate_rotation,
)
from maskdet.media.video_writer import VideoWriter, validate_output_path

__all__ = [
    "AUDIO_LOST",
    "CAMERA_REFUSED",
    "IMAGE_FORMATS",
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_JPEG_PIXELS",
    "MAX_PIXELS",
    "MAX_REFUSALS",
    "ROTATIONS",
    "AudioTrack",
    "CameraLoginError",
    "DecodedImage",
    "ImageReadError",
    "LatestFrameSource",
    "ReconnectPolicy",
    "VideoInfo",
    "VideoLimits",
    "VideoReadError",
    "VideoReader",
    "VideoSource",
    "VideoWriter",
    "decode_image",
    "encode_jpeg",
    "encode_png",
    "find_images",
    "find_videos",
    "open_video",
    "open_video_file",
    "read_image",
    "redact_url",
    "resize_image",
    "rotate_image",
    "validate_camera_url",
    "validate_output_path",
    "validate_rotation",
    "write_image",
]
