<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de" sourcelanguage="en">
    <context>
        <name>Banner</name>
        <message>
            <source>Dismiss</source>
            <translation>Schließen</translation>
        </message>
    </context>
    <context>
        <name>Canvas</name>
        <message>
            <source>Picture before and after</source>
            <translation>Bild vorher und nachher</translation>
        </message>
        <message>
            <source>Before</source>
            <translation>Vorher</translation>
        </message>
        <message>
            <source>After</source>
            <translation>Nachher</translation>
        </message>
        <message>
            <source>Removed rain, 4 times as bright</source>
            <translation>Entfernter Regen, 4-mal so hell</translation>
        </message>
    </context>
    <context>
        <name>DevicePage</name>
        <message>
            <source>Device</source>
            <translation>Gerät</translation>
        </message>
        <message>
            <source>Copy the details</source>
            <translation>Einzelheiten kopieren</translation>
        </message>
        <message>
            <source>Everything found here as text, for a question or a report of a fault</source>
            <translation>Alles, was hier steht, als Text: für eine Frage oder eine Fehlermeldung</translation>
        </message>
        <message>
            <source>Looking at this computer…</source>
            <translation>Dieser Computer wird untersucht …</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>Anhalten</translation>
        </message>
        <message>
            <source>Measuring; this takes a few minutes, and other work slows it down…</source>
            <translation>Misst; das dauert einige Minuten, und andere Arbeit bremst es …</translation>
        </message>
        <message>
            <source>This computer could not be examined.</source>
            <translation>Dieser Computer konnte nicht untersucht werden.</translation>
        </message>
        <message>
            <source>Measure the speed</source>
            <translation>Tempo messen</translation>
        </message>
        <message>
            <source>Takes a few minutes; let previews and files rest meanwhile</source>
            <translation>Dauert einige Minuten; Vorschau und Dateien sollten solange ruhen</translation>
        </message>
        <message>
            <source>Finds out how many frames a second this computer manages, and whether that is real time.</source>
            <translation>Stellt fest, wie viele Bilder in der Sekunde dieser Computer schafft und ob das Echtzeit ist.</translation>
        </message>
        <message>
            <source>Benchmark</source>
            <translation>Messung</translation>
        </message>
        <message>
            <source>The benchmark could not be started.</source>
            <translation>Die Messung ließ sich nicht starten.</translation>
        </message>
        <message>
            <source>Stopped.</source>
            <translation>Angehalten.</translation>
        </message>
        <message>
            <source>The benchmark gave no result.</source>
            <translation>Die Messung brachte kein Ergebnis.</translation>
        </message>
        <message>
            <source>Measured just now on this computer.</source>
            <translation>Soeben auf diesem Computer gemessen.</translation>
        </message>
    </context>
    <context>
        <name>FileLooker</name>
        <message>
            <source>{0}: neither a video nor a picture</source>
            <translation>{0}: weder Video noch Bild</translation>
        </message>
    </context>
    <context>
        <name>FilesInspector</name>
        <message>
            <source>Save to</source>
            <translation>Speichern in</translation>
        </message>
        <message>
            <source>Each result beside its source, or all in one folder. The originals are never changed.</source>
            <translation>Jedes Ergebnis neben seiner Quelle oder alle in einen Ordner. Die Originale bleiben immer, wie sie sind.</translation>
        </message>
        <message>
            <source>Video format</source>
            <translation>Videoformat</translation>
        </message>
        <message>
            <source>How results are compressed. Like the source: in its own format, where that can be written.</source>
            <translation>Wie die Ergebnisse komprimiert werden. Wie die Quelle: in deren Format, wenn es geschrieben werden kann.</translation>
        </message>
        <message>
            <source>Like the source</source>
            <translation>Wie die Quelle</translation>
        </message>
        <message>
            <source>Finds fine rain over leaves and grass; takes longer.</source>
            <translation>Findet feinen Regen vor Laub und Gras; dauert länger.</translation>
        </message>
        <message>
            <source>Decode on the graphics card</source>
            <translation>Auf der Grafikkarte dekodieren</translation>
        </message>
        <message>
            <source>Needs an NVIDIA graphics card.</source>
            <translation>Braucht eine Grafikkarte von NVIDIA.</translation>
        </message>
        <message>
            <source>Needs the network to run on the graphics card too; see Preview.</source>
            <translation>Dafür muss auch das Netz auf der Grafikkarte laufen; siehe Vorschau.</translation>
        </message>
        <message>
            <source>The NVIDIA graphics card unpacks the video too, which frees the processor. With H.264 or H.265 on NVIDIA as the video format, frames never leave the card. What it cannot decode, the processor does.</source>
            <translation>Die NVIDIA-Grafikkarte entpackt auch das Video, das entlastet den Prozessor. Mit H.264 oder H.265 auf NVIDIA als Videoformat verlassen die Bilder die Karte nie. Was sie nicht dekodieren kann, übernimmt der Prozessor.</translation>
        </message>
        <message>
            <source>Cannot be written on this computer</source>
            <translation>Kann auf diesem Computer nicht geschrieben werden</translation>
        </message>
        <message>
            <source>Options for new files</source>
            <translation>Optionen für neue Dateien</translation>
        </message>
        <message>
            <source>Options for {0} files</source>
            <translation>Optionen für {0} Dateien</translation>
        </message>
        <message>
            <source>Options</source>
            <translation>Optionen</translation>
        </message>
        <message>
            <source>Beside the source</source>
            <translation>Neben der Quelle</translation>
        </message>
        <message>
            <source>Choose a folder…</source>
            <translation>Ordner wählen …</translation>
        </message>
    </context>
    <context>
        <name>FilesPage</name>
        <message>
            <source>Drop videos, pictures or folders here</source>
            <translation>Videos, Bilder oder Ordner hier ablegen</translation>
        </message>
        <message>
            <source>Sound, subtitles, telemetry and tags are kept. The originals stay as they are.</source>
            <translation>Ton, Untertitel, Telemetrie und Tags bleiben erhalten. Die Originale bleiben, wie sie sind.</translation>
        </message>
        <message>
            <source>Add files…</source>
            <translation>Dateien hinzufügen …</translation>
        </message>
        <message>
            <source>Choose videos and pictures (Ctrl+O)</source>
            <translation>Videos und Bilder auswählen (Strg+O)</translation>
        </message>
        <message>
            <source>Add a folder…</source>
            <translation>Ordner hinzufügen …</translation>
        </message>
        <message>
            <source>Everything in it and its subfolders, but for results of earlier runs</source>
            <translation>Alles darin und in den Unterordnern, außer früheren Ergebnissen</translation>
        </message>
        <message>
            <source>Pause</source>
            <translation>Pause</translation>
        </message>
        <message>
            <source>Start</source>
            <translation>Start</translation>
        </message>
        <message>
            <source>Queue</source>
            <translation>Warteschlange</translation>
        </message>
        <message>
            <source>Files</source>
            <translation>Dateien</translation>
        </message>
        <message>
            <source>Earlier (Alt+Up)</source>
            <translation>Früher (Alt+Hoch)</translation>
        </message>
        <message>
            <source>Later (Alt+Down)</source>
            <translation>Später (Alt+Runter)</translation>
        </message>
        <message>
            <source>Do again (R)</source>
            <translation>Noch einmal (R)</translation>
        </message>
        <message>
            <source>Cancel (Esc)</source>
            <translation>Abbrechen (Esc)</translation>
        </message>
        <message>
            <source>Take off the list (Del)</source>
            <translation>Aus der Liste nehmen (Entf)</translation>
        </message>
        <message>
            <source>Add</source>
            <translation>Hinzufügen</translation>
        </message>
        <message>
            <source>Put videos, pictures or a folder into the queue</source>
            <translation>Videos, Bilder oder einen Ordner in die Warteschlange stellen</translation>
        </message>
        <message>
            <source>Files…</source>
            <translation>Dateien …</translation>
        </message>
        <message>
            <source>Folder…</source>
            <translation>Ordner …</translation>
        </message>
        <message>
            <source>How much of the whole queue is done</source>
            <translation>Wie viel der ganzen Warteschlange fertig ist</translation>
        </message>
        <message>
            <source>Whole queue</source>
            <translation>Ganze Warteschlange</translation>
        </message>
        <message>
            <source>Clear finished</source>
            <translation>Fertige entfernen</translation>
        </message>
        <message>
            <source>Take off the list what is done, failed or cancelled; files stay where they are</source>
            <translation>Fertige, fehlgeschlagene und abgebrochene aus der Liste nehmen; die Dateien bleiben, wo sie sind</translation>
        </message>
        <message>
            <source>Start or pause the queue (Space)</source>
            <translation>Warteschlange starten oder anhalten (Leertaste)</translation>
        </message>
        <message>
            <source>{0} of {1} finished</source>
            <translation>{0} von {1} fertig</translation>
        </message>
        <message>
            <source>Nothing in the queue</source>
            <translation>Nichts in der Warteschlange</translation>
        </message>
        <message>
            <source>{0} left for this file</source>
            <translation>noch {0} für diese Datei</translation>
        </message>
        <message>
            <source>Open the folder</source>
            <translation>Ordner öffnen</translation>
        </message>
        <message>
            <source>Do again</source>
            <translation>Noch einmal</translation>
        </message>
        <message>
            <source>Cancel</source>
            <translation>Abbrechen</translation>
        </message>
        <message>
            <source>Take off the list</source>
            <translation>Aus der Liste nehmen</translation>
        </message>
    </context>
    <context>
        <name>Findings</name>
        <message>
            <source>Processor</source>
            <translation>Prozessor</translation>
        </message>
        <message>
            <source>NVIDIA graphics</source>
            <translation>NVIDIA-Grafik</translation>
        </message>
        <message>
            <source>Apple graphics</source>
            <translation>Apple-Grafik</translation>
        </message>
        <message>
            <source>Fused GPU kernels</source>
            <translation>Verschmolzene GPU-Kernel</translation>
        </message>
        <message>
            <source>Compiled PyTorch</source>
            <translation>PyTorch, kompiliert</translation>
        </message>
        <message>
            <source>{0} on {1}</source>
            <translation>{0} auf {1}</translation>
        </message>
        <message>
            <source>FFV1 (lossless)</source>
            <translation>FFV1 (verlustfrei)</translation>
        </message>
        <message>
            <source>the graphics processor</source>
            <translation>dem Grafikprozessor</translation>
        </message>
        <message>
            <source>Rain is removed on {0}</source>
            <translation>Der Regen wird auf {0} entfernt</translation>
        </message>
        <message>
            <source>That is the fast way. Measure the speed to know which sizes run in real time.</source>
            <translation>Das ist der schnelle Weg. Welche Größen in Echtzeit laufen, sagt „Tempo messen“.</translation>
        </message>
        <message>
            <source>Rain is removed on the processor</source>
            <translation>Der Regen wird auf dem Prozessor entfernt</translation>
        </message>
        <message>
            <source>{0} with {1} cores. Every file can be done here, but live pictures will be slow; a smaller work size helps, a graphics card from NVIDIA helps most.</source>
            <translation>{0} mit {1} Kernen. Jede Datei lässt sich hier bearbeiten, aber Livebilder werden langsam sein; eine kleinere Arbeitsgröße hilft, eine Grafikkarte von NVIDIA am meisten.</translation>
        </message>
        <message>
            <source>A processor</source>
            <translation>Ein Prozessor</translation>
        </message>
        <message>
            <source>Processors</source>
            <translation>Prozessoren</translation>
        </message>
        <message>
            <source>Methods</source>
            <translation>Verfahren</translation>
        </message>
        <message>
            <source>Cameras</source>
            <translation>Kameras</translation>
        </message>
        <message>
            <source>Video formats</source>
            <translation>Videoformate</translation>
        </message>
        <message>
            <source>Networks</source>
            <translation>Netze</translation>
        </message>
        <message>
            <source>Versions</source>
            <translation>Versionen</translation>
        </message>
        <message>
            <source>Goal</source>
            <translation>Ziel</translation>
        </message>
        <message>
            <source>Frames a second</source>
            <translation>Bilder je Sekunde</translation>
        </message>
        <message>
            <source>Method</source>
            <translation>Verfahren</translation>
        </message>
        <message>
            <source>Real time</source>
            <translation>Echtzeit</translation>
        </message>
        <message>
            <source>yes</source>
            <translation>ja</translation>
        </message>
        <message>
            <source>at work size {0} %</source>
            <translation>bei Arbeitsgröße {0} %</translation>
        </message>
        <message>
            <source>no</source>
            <translation>nein</translation>
        </message>
        <message>
            <source>16-bit (bfloat16)</source>
            <translation>16 Bit (bfloat16)</translation>
        </message>
        <message>
            <source>16-bit (half)</source>
            <translation>16 Bit (half)</translation>
        </message>
        <message>
            <source>32-bit</source>
            <translation>32 Bit</translation>
        </message>
        <message>
            <source>{0} cores</source>
            <translation>{0} Kerne</translation>
        </message>
        <message>
            <source>{0} GB of memory</source>
            <translation>{0} GB Speicher</translation>
        </message>
        <message>
            <source>ready · {0}</source>
            <translation>bereit · {0}</translation>
        </message>
        <message>
            <source>None found</source>
            <translation>Keine gefunden</translation>
        </message>
        <message>
            <source>Plug one in, or open the address of a network camera.</source>
            <translation>Eine anschließen oder die Adresse einer Netzwerkkamera öffnen.</translation>
        </message>
        <message>
            <source>{0} modes</source>
            <translation>{0} Modi</translation>
        </message>
        <message>
            <source>Can be written</source>
            <translation>Können geschrieben werden</translation>
        </message>
        <message>
            <source>Need hardware that is not here</source>
            <translation>Brauchen Hardware, die hier fehlt</translation>
        </message>
        <message>
            <source>comes with the program</source>
            <translation>gehört zum Programm</translation>
        </message>
        <message>
            <source>imported by you</source>
            <translation>von Ihnen importiert</translation>
        </message>
    </context>
    <context>
        <name>JobDelegate</name>
        <message>
            <source>{0} fps</source>
            <translation>{0} fps</translation>
        </message>
    </context>
    <context>
        <name>JobQueue</name>
        <message>
            <source>The queue could not be kept in {0}: {1}</source>
            <translation>Die Warteschlange konnte nicht in {0} gesichert werden: {1}</translation>
        </message>
        <message>
            <source>File</source>
            <translation>Datei</translation>
        </message>
        <message>
            <source>Progress</source>
            <translation>Fortschritt</translation>
        </message>
        <message>
            <source>Speed</source>
            <translation>Tempo</translation>
        </message>
        <message>
            <source>Time left</source>
            <translation>Restzeit</translation>
        </message>
        <message>
            <source>State</source>
            <translation>Zustand</translation>
        </message>
    </context>
    <context>
        <name>JobReport</name>
        <message>
            <source>{0} frames in {1}</source>
            <translation>{0} Bilder in {1}</translation>
        </message>
        <message>
            <source>Streams</source>
            <translation>Spuren</translation>
        </message>
        <message>
            <source>To know</source>
            <translation>Zu wissen</translation>
        </message>
        <message>
            <source>Open the folder</source>
            <translation>Ordner öffnen</translation>
        </message>
        <message>
            <source>Show the result in the file manager</source>
            <translation>Das Ergebnis in der Dateiverwaltung zeigen</translation>
        </message>
    </context>
    <context>
        <name>JobWorker</name>
        <message>
            <source>Decoded on the processor, because the network ran there</source>
            <translation>Auf dem Prozessor dekodiert, weil das Netz dort lief</translation>
        </message>
    </context>
    <context>
        <name>MainWindow</name>
        <message>
            <source>Unexpected {0}: {1}</source>
            <translation>Unerwartet {0}: {1}</translation>
        </message>
        <message>
            <source>Preview</source>
            <translation>Vorschau</translation>
        </message>
        <message>
            <source>Files</source>
            <translation>Dateien</translation>
        </message>
        <message>
            <source>Device</source>
            <translation>Gerät</translation>
        </message>
        <message>
            <source>{0} (Ctrl+{1})</source>
            <translation>{0} (Strg+{1})</translation>
        </message>
        <message>
            <source>Finished: {0} done, {1} failed</source>
            <translation>Zu Ende: {0} fertig, {1} fehlgeschlagen</translation>
        </message>
        <message>
            <source>Finished: {0} done</source>
            <translation>Zu Ende: {0} fertig</translation>
        </message>
        <message>
            <source>Open a video</source>
            <translation>Video öffnen</translation>
        </message>
        <message>
            <source>Add videos and pictures</source>
            <translation>Videos und Bilder hinzufügen</translation>
        </message>
        <message>
            <source>Add a folder</source>
            <translation>Ordner hinzufügen</translation>
        </message>
        <message>
            <source>Auto</source>
            <translation>Auto</translation>
        </message>
        <message>
            <source>Light</source>
            <translation>Hell</translation>
        </message>
        <message>
            <source>Dark</source>
            <translation>Dunkel</translation>
        </message>
        <message>
            <source>Light or dark (Ctrl+Shift+T)</source>
            <translation>Hell oder dunkel (Strg+Umschalt+T)</translation>
        </message>
        <message>
            <source>Light or dark: {0}</source>
            <translation>Hell oder dunkel: {0}</translation>
        </message>
    </context>
    <context>
        <name>PreviewInspector</name>
        <message>
            <source>Takes longer: without an NVIDIA card only where a file is paused.</source>
            <translation>Dauert länger: ohne NVIDIA-Karte nur bei angehaltener Datei.</translation>
        </message>
        <message>
            <source>Device</source>
            <translation>Gerät</translation>
        </message>
        <message>
            <source>What the network runs on, here and for files</source>
            <translation>Worauf das Netz läuft, hier und für Dateien</translation>
        </message>
        <message>
            <source>Method</source>
            <translation>Verfahren</translation>
        </message>
        <message>
            <source>The program that runs the network; the best one is measured where there are several</source>
            <translation>Das Programm, das das Netz ausführt; unter mehreren wird das schnellste gemessen</translation>
        </message>
        <message>
            <source>Frames a second</source>
            <translation>Bilder je Sekunde</translation>
        </message>
        <message>
            <source>Latency</source>
            <translation>Verzögerung</translation>
        </message>
        <message>
            <source>Skipped frames</source>
            <translation>Übersprungene Bilder</translation>
        </message>
        <message>
            <source>Size</source>
            <translation>Größe</translation>
        </message>
        <message>
            <source>Graphics card</source>
            <translation>Grafikkarte</translation>
        </message>
        <message>
            <source>Rain</source>
            <translation>Regen</translation>
        </message>
        <message>
            <source>Runs on</source>
            <translation>Läuft auf</translation>
        </message>
        <message>
            <source>Figures</source>
            <translation>Messwerte</translation>
        </message>
        <message>
            <source>In use: {0} · {1}</source>
            <translation>In Gebrauch: {0} · {1}</translation>
        </message>
        <message>
            <source>Best there is</source>
            <translation>Automatisch</translation>
        </message>
    </context>
    <context>
        <name>PreviewPage</name>
        <message>
            <source>See the rain go</source>
            <translation>Sehen, wie der Regen geht</translation>
        </message>
        <message>
            <source>Drop a video here, or open a camera or the address of a stream.</source>
            <translation>Ein Video hier ablegen oder eine Kamera oder die Adresse eines Streams öffnen.</translation>
        </message>
        <message>
            <source>Open a file…</source>
            <translation>Datei öffnen …</translation>
        </message>
        <message>
            <source>Play a video as it is and without its rain</source>
            <translation>Ein Video abspielen, wie es ist und ohne seinen Regen</translation>
        </message>
        <message>
            <source>Test picture</source>
            <translation>Testbild</translation>
        </message>
        <message>
            <source>A moving picture made here, to see how fast this computer is</source>
            <translation>Ein bewegtes Bild, das hier entsteht; zeigt, wie schnell dieser Computer ist</translation>
        </message>
        <message>
            <source>Open</source>
            <translation>Öffnen</translation>
        </message>
        <message>
            <source>Open a file, a camera or a stream</source>
            <translation>Eine Datei, eine Kamera oder einen Stream öffnen</translation>
        </message>
        <message>
            <source>View</source>
            <translation>Ansicht</translation>
        </message>
        <message>
            <source>Wipe</source>
            <translation>Schieber</translation>
        </message>
        <message>
            <source>Before left of the handle, after right of it (1)</source>
            <translation>Links vom Griff vorher, rechts davon nachher (1)</translation>
        </message>
        <message>
            <source>Side by side</source>
            <translation>Nebeneinander</translation>
        </message>
        <message>
            <source>Before and after beside each other (2)</source>
            <translation>Vorher und nachher nebeneinander (2)</translation>
        </message>
        <message>
            <source>After</source>
            <translation>Nachher</translation>
        </message>
        <message>
            <source>The picture without its rain (3)</source>
            <translation>Das Bild ohne seinen Regen (3)</translation>
        </message>
        <message>
            <source>Removed rain</source>
            <translation>Entfernter Regen</translation>
        </message>
        <message>
            <source>What was taken out, on black (4)</source>
            <translation>Was herausgenommen wurde, auf Schwarz (4)</translation>
        </message>
        <message>
            <source>Close (Ctrl+W)</source>
            <translation>Schließen (Strg+W)</translation>
        </message>
        <message>
            <source>Play or pause (Space)</source>
            <translation>Abspielen oder anhalten (Leertaste)</translation>
        </message>
        <message>
            <source>Next frame (.)</source>
            <translation>Nächstes Bild (.)</translation>
        </message>
        <message>
            <source>Begin again at the end (L)</source>
            <translation>Am Ende von vorn beginnen (L)</translation>
        </message>
        <message>
            <source>Click to go there; arrow keys go five seconds back and on</source>
            <translation>Ein Klick springt dorthin; Pfeiltasten fünf Sekunden zurück und vor</translation>
        </message>
        <message>
            <source>Position</source>
            <translation>Position</translation>
        </message>
        <message>
            <source>Save the picture (Ctrl+S)</source>
            <translation>Bild speichern (Strg+S)</translation>
        </message>
        <message>
            <source>Record (Ctrl+R)</source>
            <translation>Aufnehmen (Strg+R)</translation>
        </message>
        <message>
            <source>Virtual camera (Ctrl+K)</source>
            <translation>Virtuelle Kamera (Strg+K)</translation>
        </message>
        <message>
            <source>Full screen (F11)</source>
            <translation>Vollbild (F11)</translation>
        </message>
        <message>
            <source>Preview</source>
            <translation>Vorschau</translation>
        </message>
        <message>
            <source>{0} fps</source>
            <translation>{0} fps</translation>
        </message>
        <message>
            <source>{0} skipped</source>
            <translation>{0} übersprungen</translation>
        </message>
        <message>
            <source>GPU {0} %</source>
            <translation>GPU {0} %</translation>
        </message>
        <message>
            <source>Paused</source>
            <translation>Pausiert</translation>
        </message>
        <message>
            <source>frames compared, as in a file</source>
            <translation>Bilder verglichen, wie in der Datei</translation>
        </message>
        <message>
            <source>comparing frames…</source>
            <translation>Bilder werden verglichen …</translation>
        </message>
    </context>
    <context>
        <name>RainOptions</name>
        <message>
            <source>Full</source>
            <translation>Voll</translation>
        </message>
        <message>
            <source>The network looks at every pixel: the best result, and the slowest</source>
            <translation>Das Netz sieht jeden Bildpunkt: das beste Ergebnis und das langsamste</translation>
        </message>
        <message>
            <source>Almost twice as fast</source>
            <translation>Fast doppelt so schnell</translation>
        </message>
        <message>
            <source>About four times as fast</source>
            <translation>Etwa viermal so schnell</translation>
        </message>
        <message>
            <source>Up to sixteen times as fast</source>
            <translation>Bis zu sechzehnmal so schnell</translation>
        </message>
        <message>
            <source>Strength</source>
            <translation>Stärke</translation>
        </message>
        <message>
            <source>How much of the rain that is found is taken out; 0 % leaves all of it</source>
            <translation>Wie viel vom gefundenen Regen herausgenommen wird; 0 % lässt allen drin</translation>
        </message>
        <message>
            <source>Work size</source>
            <translation>Arbeitsgröße</translation>
        </message>
        <message>
            <source>Compare frames</source>
            <translation>Bilder vergleichen</translation>
        </message>
        <message>
            <source>Looks at the frames before and after too, and takes out what is bright in one of the three only: fine rain over leaves and grass, which a single picture does not tell from texture. Switch it off where the processor is too slow for it, or where small things that flicker fade.</source>
            <translation>Sieht auch das Bild davor und das danach an und nimmt heraus, was nur in einem der drei hell ist: feinen Regen vor Laub und Gras, den ein einzelnes Bild nicht von Struktur unterscheidet. Abschalten, wenn der Prozessor dafür zu langsam ist oder kleines Flackerndes verblasst.</translation>
        </message>
        <message>
            <source>Smaller is faster and finds less of the finest rain.</source>
            <translation>Kleiner ist schneller und findet weniger vom feinsten Regen.</translation>
        </message>
    </context>
    <context>
        <name>Run</name>
        <message>
            <source>Recording to {0}</source>
            <translation>Aufnahme nach {0}</translation>
        </message>
        <message>
            <source>Loading the network…</source>
            <translation>Das Netz wird geladen …</translation>
        </message>
        <message>
            <source>Opening {0}…</source>
            <translation>{0} wird geöffnet …</translation>
        </message>
        <message>
            <source>Waiting for the first frame…</source>
            <translation>Wartet auf das erste Bild …</translation>
        </message>
    </context>
    <context>
        <name>Session</name>
        <message>
            <source>Saved {0}</source>
            <translation>{0} gespeichert</translation>
        </message>
        <message>
            <source>{0}: the picture could not be written</source>
            <translation>{0}: Das Bild konnte nicht geschrieben werden</translation>
        </message>
    </context>
    <context>
        <name>SourceMenu</name>
        <message>
            <source>File…</source>
            <translation>Datei …</translation>
        </message>
        <message>
            <source>No camera found</source>
            <translation>Keine Kamera gefunden</translation>
        </message>
        <message>
            <source>Test picture</source>
            <translation>Testbild</translation>
        </message>
        <message>
            <source>Type an address and press Enter</source>
            <translation>Adresse eingeben und die Eingabetaste drücken</translation>
        </message>
        <message>
            <source>Address of a stream</source>
            <translation>Adresse eines Streams</translation>
        </message>
    </context>
    <context>
        <name>Words</name>
        <message>
            <source>Test picture</source>
            <translation>Testbild</translation>
        </message>
        <message>
            <source>Waiting</source>
            <translation>Wartet</translation>
        </message>
        <message>
            <source>Working</source>
            <translation>In Arbeit</translation>
        </message>
        <message>
            <source>Paused</source>
            <translation>Pausiert</translation>
        </message>
        <message>
            <source>Done</source>
            <translation>Fertig</translation>
        </message>
        <message>
            <source>Failed</source>
            <translation>Fehlgeschlagen</translation>
        </message>
        <message>
            <source>Cancelled</source>
            <translation>Abgebrochen</translation>
        </message>
        <message>
            <source>{0} of {1}</source>
            <translation>{0} von {1}</translation>
        </message>
    </context>
    <context>
        <name>_Card</name>
        <message>
            <source>available</source>
            <translation>vorhanden</translation>
        </message>
        <message>
            <source>not available</source>
            <translation>nicht vorhanden</translation>
        </message>
    </context>
    <context>
        <name>_StreamLine</name>
        <message>
            <source>Video</source>
            <translation>Video</translation>
        </message>
        <message>
            <source>Sound</source>
            <translation>Ton</translation>
        </message>
        <message>
            <source>Subtitles</source>
            <translation>Untertitel</translation>
        </message>
        <message>
            <source>Data</source>
            <translation>Daten</translation>
        </message>
        <message>
            <source>Attachment</source>
            <translation>Anhang</translation>
        </message>
        <message>
            <source>derained</source>
            <translation>entregnet</translation>
        </message>
        <message>
            <source>kept</source>
            <translation>erhalten</translation>
        </message>
        <message>
            <source>re-encoded</source>
            <translation>neu kodiert</translation>
        </message>
        <message>
            <source>lost</source>
            <translation>verloren</translation>
        </message>
    </context>
</TS>
