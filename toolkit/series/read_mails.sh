# Read the mails in the current folder as git am does. Each file of `raw`, `exact` and `one` holds one
# mail, each of `many` and `mboxrd` is an mbox; those of `exact` keep a CR at the end of a line. What
# git takes for a mail's author and subject, its message and its diff goes into files beside it;
# `.failed` says that git cannot read it.

read_mails() { # FOLDER strip|nowarn
    for mail in "$1"/*; do
        git mailinfo -u --no-scissors "--quoted-cr=$2" \
            "$mail.message" "$mail.diff" <"$mail" >"$mail.info" 2>"$mail.error"
        status=$?
        charset=
        [ $status = 0 ] ||
            charset=$(sed -n 's/^error: cannot convert from \(.*\) to UTF-8$/\1/p' "$mail.error")
        if [ "$charset" ] &&
            grep -qiF -e "charset=$charset" -e "charset=\"$charset\"" "$mail"; then
            # It is the answer to a question of git send-email, "y" mostly, and the text is UTF-8.
            git mailinfo -n --no-scissors "--quoted-cr=$2" \
                "$mail.message" "$mail.diff" <"$mail" >"$mail.info" 2>"$mail.error"
            status=$?
        fi
        [ $status -le 128 ] || exit $status
        [ $status = 0 ] || : >"$mail.failed"
    done
}
if [ -d one ]; then
    mkdir one.mails
    git mailsplit -b -d6 -oone.mails one/* >/dev/null || exit
    read_mails one.mails strip
fi
for folder in many mboxrd; do
    [ -d $folder ] || continue
    for box in $folder/*; do
        mkdir "$box.mails"
        [ $folder = mboxrd ] && quoted=--mboxrd || quoted=
        git mailsplit -b -d6 $quoted -o"$box.mails" "$box" >/dev/null || exit
        read_mails "$box.mails" strip
    done
done
if [ -d raw ]; then
    read_mails raw strip
fi
if [ -d exact ]; then
    read_mails exact nowarn
fi
