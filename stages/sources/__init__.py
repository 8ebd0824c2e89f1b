"""Where pictures come from: video files, folders of pictures, and cameras."""
