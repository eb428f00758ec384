"""Images of surveys: files of any layout in, checked cut-outs on one grid out."""
