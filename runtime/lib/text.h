/* Text that is to be shown, and was written by somebody who is not trusted. */
#ifndef VMRT_LIB_TEXT_H
#define VMRT_LIB_TEXT_H

/**
 * text_mask_controls() - put "?" in place of what a terminal could take for a command.
 * @text: NUL-terminated; changed in place. Kept is what is printable UTF-8 (RFC 3629): no control
 *        characters, neither C0 (newline and escape among them) nor DEL nor C1, and no stray bytes.
 */
void text_mask_controls(char *text);

#endif
